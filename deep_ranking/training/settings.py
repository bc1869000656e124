"""What determines a training run: the one table of its settings, from which the flags of `train` are made."""

import math
import os
from dataclasses import dataclass, field
from functools import partial

from deep_ranking.errors import expect
from deep_ranking.images.augment import PRESETS
from deep_ranking.network.settings import NetworkSettings
from deep_ranking.ranking import MINING
from deep_ranking.ranking.distances import BLOG, DISTANCES, PAPER
from deep_ranking.settings import (
    BELOW_1,
    ENGINES,
    FINITE,
    POSITIVE,
    SEED,
    SHARE,
    Check,
    Settings,
    at_least,
    setting,
)

_data, _loss, _learning = (partial(setting, group=group) for group in ("data", "loss", "learning"))
_PART = Check(BELOW_1.holds, "a share of 0 or more and below 1")
_SHRINKAGE = Check(lambda by: 0 <= by < math.inf, "a shrinkage above 0 and classes to mine in; or 0")
_THREES = Check(lambda size: size >= 3 and size % 3 == 0, "a multiple of three (query, positive, negative)")


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """A training run; the same settings, data and machine give the same weights.

    What a setting does its help says, in the table and by `train --help`. Beyond that:

    Args:
        weights: "imagenet", "none", or a file; see `network.weights.load_weights`.
        mining: "none" learns from given triplets; see `ranking.mining`, and for "proxies" `ranking.proxies`:
            gap and distance then serve the metrics alone.
        batch_size: images a step; with mining it is classes times images.
        learning_rate: of SGD with Nesterov momentum.
        schedule: "cosine": the rate falls to 0 along half a cosine over the run.
        weight_decay: on kernels, not on biases or normalization.
        freeze_normalization: batch normalization keeps its pretrained statistics and scales; None does so
            whenever training starts from pretrained weights.
        backbone_rate: 0, which freezes the backbone, is several times faster too.
        lora: see `network.hub.add_adapters`; they learn at the full rate unless `backbone_rate` says less.
        train_from: the name of a layer; "" computes all of it anew. See `training.frozen`.
        discriminants: see `training.frozen`.
        average_mirror: it is measured so too (`network.average_mirror`); what is learned is the same.
        on_features: nothing is learned by steps: the backbone stays as it is, and a linear layer on its
            features is found in closed form; see `training.kept`.
        precision: weights are float32 in any case, and so is the network that is saved.
        jit: "auto" does where it pays, see `training.model`.
        seed: of weights, order, augmentation and dropout.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    weights: str = setting(
        "imagenet",
        "where to start from (default: imagenet if it can be downloaded, else none)",
        metavar="imagenet|none|FILE",
        group="network",
    )
    mining: str = _data(
        "none",
        "learn from the triplets that the class folders of --dataset make among a batch's images: all, those "
        "ranked rightly but within the gap, or each query's hardest; proxies: compare each image with a "
        "learned vector for each class instead (default: {default})",
        choices=("none", *MINING, "proxies"),
    )
    classes_per_batch: int = _data(6, "mining (default: {default})", at_least(2), "P")
    images_per_class: int = _data(4, "mining: in a batch (default: {default})", at_least(2), "K")
    distance: str = _loss(
        PAPER.distance, "(default: {default}, as in the paper; blog: {blog})", choices=DISTANCES
    )
    gap: float = _loss(
        PAPER.gap, "in the units of the distance (default: {default}; blog: {blog})", FINITE, "G"
    )
    scale: float = _loss(20.0, "of the softmax of --mining proxies (default: {default})", POSITIVE, "S")
    smoothing: float = _loss(
        0.0,
        "with --mining proxies, of the target that all classes share (default: {default})",
        BELOW_1,
        "SHARE",
    )
    epochs: int = _learning(10, "(default: {default}); 0 saves the network as it starts", at_least(0))
    batch_size: int = _learning(24, "images, a multiple of three (default: {default})", _THREES)
    learning_rate: float = _learning(
        0.01, "(default: {default}; blog: {blog})", Check(FINITE.holds, POSITIVE.expected), "R"
    )
    schedule: str = _learning(
        "constant", "of the learning rate (default: {default})", choices=("constant", "cosine")
    )
    warmup: float = _learning(
        0.0, "of the steps, in which the learning rate rises from 0 (default: {default})", _PART, "SHARE"
    )
    momentum: float = _learning(0.9, "Nesterov's (default: {default})", BELOW_1, "M")
    weight_decay: float = _learning(
        0.001, "the paper's lambda (default: {default}; blog: {blog})", at_least(0), "L"
    )
    augmentation: str = _learning(
        "paper",
        "paper: random pixel shift; mirror: the same, and left for right; flip: that alone; blog: flips, "
        "zoom, shear, rotation (default: the preset's)",
        choices=PRESETS,
    )
    freeze_normalization: bool | None = _learning(
        None, "keep batch normalization as it is (default: with pretrained weights)"
    )
    backbone_rate: float | None = _learning(
        None,
        "the backbone learns at this share of the learning rate; 0 freezes it (default: 0.1 from pretrained "
        "weights, else 1)",
        SHARE,
        "SHARE",
    )
    train_from: str = _learning(
        "",
        "freeze the backbone up to this layer, and compute what it gives once for each image, so that an "
        "epoch costs the layers behind it alone (MobileNetV2: block_12_add, for one)",
        metavar="LAYER",
    )
    lora: int = _learning(
        0,
        "freeze a transformer but for adapters of this rank on its linear layers (try 8; default: none); "
        "what is saved is whole",
        at_least(0),
        "RANK",
    )
    views: int = _learning(
        1,
        "with --train_from: of each image, itself and draws of the augmentation (default: {default})",
        at_least(1),
    )
    discriminants: float = _learning(
        0.0,
        "with --mining: in the end replace the linear layer by the linear discriminants of the training "
        "images, shrunk by so much (try 0.3; default: {default}, keep what was learned)",
        _SHRINKAGE,
        "SHRINKAGE",
    )
    average_mirror: bool = _learning(
        False,
        "save a network that embeds an image by the mean of itself and its mirror image, in twice the time",
    )
    engine: str = _learning(
        "keras",
        "what runs the frozen layers: of --train_from, for --discriminants (default: {default}) and of "
        "--preset features (default: auto, openvino on a processor where it is installed)",
        choices=("auto", *ENGINES, "openvino-bfloat16"),
    )
    precision: str = _learning(
        "float32",
        "number type of the computation; auto: bfloat16 where the processor has it and the backbone gains by "
        "it, else float32 (default: auto)",
        choices=("float32", "bfloat16", "float16"),
        flag="mixed_precision",
        auto=True,
    )
    on_features: bool = setting(False, flag=None)
    jit: str = _learning(
        "auto",
        "compile the step by XLA; auto: on accelerators and with JAX (default: {default})",
        choices=("auto", "on", "off"),
    )
    seed: int = _learning(0, "(default: {default})", SEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if by := self.discriminants:
            expect("discriminants", self.mining != "none", _SHRINKAGE.expected, by)
            linear = "a linear layer to replace (embedding_size above 0); or 0"
            expect("discriminants", self.network.embedding_size > 0, linear, by)
        if self.lora:
            free = not self.train_from and self.backbone_share > 0
            expect("lora", free, "no train_from, and a backbone_rate above 0; or 0", self.lora)

    @classmethod
    def blog(cls) -> "TrainingSettings":
        """Return what the blog's code trained with; its loss is mended all the same."""
        return cls(
            NetworkSettings.blog(),
            **BLOG._asdict(),
            learning_rate=0.001,
            weight_decay=0.0,
            augmentation="blog",
            backbone_rate=1.0,
            epochs=25,
        )

    @classmethod
    def features(cls) -> "TrainingSettings":
        """Return what is learned in seconds and never worse than its start; see `training.kept`.

        An embedding size of 0 stands for as many numbers as the features have.
        """
        network = NetworkSettings(
            "mobilenetv2", embedding_size=0, low_resolution="none", fully_connected=False
        )
        return cls(network, epochs=0, engine="auto", on_features=True)

    @property
    def backbone_share(self) -> float:
        """The backbone's share of the learning rate, the default resolved; adapters begin with nothing."""
        if self.backbone_rate is None:
            return 1.0 if self.weights == "none" or self.lora else 0.1
        return self.backbone_rate

    @property
    def freezes_normalization(self) -> bool:
        """Whether batch normalization is frozen, the default resolved."""
        return self.weights != "none" if self.freeze_normalization is None else self.freeze_normalization


@dataclass(frozen=True)
class RunOptions(Settings):
    """How a run is carried out; whatever they are, the same is learned.

    Args:
        patience: epochs without more of the validation triplets ranked right, after which the run ends.
        checkpoint_steps: within an epoch; each epoch's end writes a checkpoint too.
        image_cache: a folder; None keeps the images for this run.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    workers: int = setting(2, "threads that read images (default: {default})", at_least(1))
    image_cache: str | os.PathLike[str] | None = setting(
        None, "keep decoded images there for later runs too (default: for this run only)", metavar="DIR"
    )
    image_cache_size: float = setting(
        4.0,
        "at most so many gigabytes of them; 0: decode an image each time (default: {default})",
        Check(at_least(0).holds, "0 or more gigabytes"),
        "GB",
    )
    resume: bool = setting(False, "go on with a run that was stopped")
    leave_out_broken: bool = setting(False, "learn without the images that cannot be read, and name them")
    patience: int | None = setting(
        None, "end after so many epochs in which validation got no better (default: never)", at_least(1)
    )
    checkpoint_steps: int = setting(200, "steps between two (default: {default})", at_least(1))
    tensorboard: str | os.PathLike[str] | None = setting(None, "write logs for TensorBoard", metavar="DIR")
