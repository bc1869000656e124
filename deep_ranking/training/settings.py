"""What determines a training run: the one table of its settings, from which the flags of `train` are made."""

import math
import os
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """A training run; the same settings, data and machine give the same weights.

    Args:
        network: the architecture.
        weights: "imagenet", "none", or a file; see `network.weights.load_weights`.
        mining: "none" learns from given triplets; "all", "semi-hard" or "hard" from those that the classes of
            a batch's images make (see `ranking.mining`); "proxies" compares each image with a learned vector
            for each class instead (see `ranking.proxies`); gap and distance then serve the metrics alone.
        classes_per_batch: P, the classes of a batch to mine in.
        images_per_class: K, the images of each of them.
        distance: a name from `ranking.distances.DISTANCES`.
        gap: the g of the loss.
        scale: of the proxies' softmax.
        smoothing: of the proxies' targets.
        epochs: passes over the triplets; 0 saves the network as it starts.
        batch_size: images a step; with mining it is classes times images.
        learning_rate: of SGD with Nesterov momentum.
        schedule: "constant", or "cosine": the rate falls to 0 along half a cosine over the run.
        warmup: share of the run's steps in which the rate rises from 0 first.
        momentum: Nesterov's.
        weight_decay: the paper's lambda; on kernels, not on biases or normalization.
        augmentation: a name from `images.augment.PRESETS`.
        freeze_normalization: batch normalization keeps its pretrained statistics and scales; None does so
            whenever training starts from pretrained weights.
        backbone_rate: the backbone learns at this share of the learning rate; 0 freezes it, which is
            several times faster too. None: 0.1 from pretrained weights, else 1.
        train_from: the backbone's layers up to this one, by name, are frozen, and what they give is computed
            once for each image, so that a step costs the layers behind it alone; "" computes all of it
            anew. See `training.frozen`.
        views: with `train_from`, of each image: itself and draws of the augmentation.
        discriminants: above 0, the embedding's linear layer is replaced in the end by the linear
            discriminants of the training images, shrunk by so much (`training.frozen`). 0 keeps it.
        average_mirror: what is measured and saved embeds an image by the mean of itself and its mirror image,
            in twice the time (`network.average_mirror`); what is learned is the same.
        engine: what runs the frozen layers of `train_from`, and the network for the discriminants.
        precision: number type of the computation; weights are float32 in any case, and so is the network
            that is saved.
        jit: compile the step by XLA; "auto" does where it pays, see `training.model`.
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
    mining: str = setting(
        "none",
        "learn from the triplets that the class folders of --dataset make among a batch's images: all, those "
        "ranked rightly but within the gap, or each query's hardest; proxies: compare each image with a "
        "learned vector for each class instead (default: {default})",
        choices=("none", *MINING, "proxies"),
        group="data",
    )
    classes_per_batch: int = setting(
        6, "mining (default: {default})", check=at_least(2), metavar="P", group="data"
    )
    images_per_class: int = setting(
        4, "mining: in a batch (default: {default})", check=at_least(2), metavar="K", group="data"
    )
    distance: str = setting(
        PAPER.distance,
        "(default: {default}, as in the paper; blog: {blog})",
        choices=DISTANCES,
        group="loss",
    )
    gap: float = setting(
        PAPER.gap,
        "in the units of the distance (default: {default}; blog: {blog})",
        check=FINITE,
        metavar="G",
        group="loss",
    )
    scale: float = setting(
        20.0,
        "of the softmax of --mining proxies (default: {default})",
        check=POSITIVE,
        metavar="S",
        group="loss",
    )
    smoothing: float = setting(
        0.0,
        "with --mining proxies, of the target that all classes share (default: {default})",
        check=BELOW_1,
        metavar="SHARE",
        group="loss",
    )
    epochs: int = setting(
        10,
        "(default: {default}); 0 saves the network as it starts",
        check=at_least(0),
        metavar="N",
        group="learning",
    )
    batch_size: int = setting(
        24,
        "images, a multiple of three (default: {default})",
        check=Check(
            lambda size: size >= 3 and size % 3 == 0, "a multiple of three (query, positive, negative)"
        ),
        metavar="N",
        group="learning",
    )
    learning_rate: float = setting(
        0.01,
        "(default: {default}; blog: {blog})",
        check=Check(FINITE.holds, POSITIVE.expected),
        metavar="R",
        group="learning",
    )
    schedule: str = setting(
        "constant",
        "of the learning rate (default: {default})",
        choices=("constant", "cosine"),
        group="learning",
    )
    warmup: float = setting(
        0.0,
        "of the steps, in which the learning rate rises from 0 (default: {default})",
        check=Check(BELOW_1.holds, "a share of 0 or more and below 1"),
        metavar="SHARE",
        group="learning",
    )
    momentum: float = setting(
        0.9, "Nesterov's (default: {default})", check=BELOW_1, metavar="M", group="learning"
    )
    weight_decay: float = setting(
        0.001,
        "the paper's lambda (default: {default}; blog: {blog})",
        check=at_least(0),
        metavar="L",
        group="learning",
    )
    augmentation: str = setting(
        "paper",
        "paper: random pixel shift; mirror: the same, and left for right; flip: that alone; blog: flips, "
        "zoom, shear, rotation (default: the preset's)",
        choices=PRESETS,
        group="learning",
    )
    freeze_normalization: bool | None = setting(
        None, "keep batch normalization as it is (default: with pretrained weights)", group="learning"
    )
    backbone_rate: float | None = setting(
        None,
        "the backbone learns at this share of the learning rate; 0 freezes it (default: 0.1 from pretrained "
        "weights, else 1)",
        check=SHARE,
        metavar="SHARE",
        group="learning",
    )
    train_from: str = setting(
        "",
        "freeze the backbone up to this layer, and compute what it gives once for each image, so that an "
        "epoch costs the layers behind it alone (MobileNetV2: block_12_add, for one)",
        metavar="LAYER",
        group="learning",
    )
    views: int = setting(
        1,
        "with --train_from: of each image, itself and draws of the augmentation (default: {default})",
        check=at_least(1),
        metavar="N",
        group="learning",
    )
    discriminants: float = setting(
        0.0,
        "with --mining: in the end replace the linear layer by the linear discriminants of the training "
        "images, shrunk by so much (try 0.3; default: {default}, keep what was learned)",
        check=Check(lambda by: 0 <= by < math.inf, "a shrinkage above 0 and classes to mine in; or 0"),
        metavar="SHRINKAGE",
        group="learning",
    )
    average_mirror: bool = setting(
        False,
        "save a network that embeds an image by the mean of itself and its mirror image, in twice the time",
        group="learning",
    )
    engine: str = setting(
        "keras",
        "what runs the frozen layers of --train_from, and all for --discriminants (default: {default})",
        choices=(*ENGINES, "openvino-bfloat16"),
        group="learning",
    )
    precision: str = setting(
        "float32",
        "number type of the computation; auto: bfloat16 where the processor has it and the backbone gains by "
        "it, else float32 (default: auto)",
        choices=("float32", "bfloat16", "float16"),
        group="learning",
        flag="mixed_precision",
        auto=True,
    )
    jit: str = setting(
        "auto",
        "compile the step by XLA; auto: on accelerators and with JAX (default: {default})",
        choices=("auto", "on", "off"),
        group="learning",
    )
    seed: int = setting(0, "(default: {default})", check=SEED, metavar="N", group="learning")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.discriminants:
            mined, linear = self.mining != "none", self.network.embedding_size > 0
            whole = "a shrinkage above 0 and classes to mine in; or 0"
            expect("discriminants", mined, whole, self.discriminants)
            whole = "a linear layer to replace (embedding_size above 0); or 0"
            expect("discriminants", linear, whole, self.discriminants)

    @classmethod
    def blog(cls) -> "TrainingSettings":
        """Return what the blog's code trained with; its loss is mended all the same."""
        return cls(
            NetworkSettings.blog(),
            gap=BLOG.gap,
            distance=BLOG.distance,
            learning_rate=0.001,
            weight_decay=0.0,
            augmentation="blog",
            backbone_rate=1.0,
            epochs=25,
        )

    @property
    def backbone_share(self) -> float:
        """The backbone's share of the learning rate, the default resolved."""
        if self.backbone_rate is None:
            return 1.0 if self.weights == "none" else 0.1
        return self.backbone_rate

    @property
    def freezes_normalization(self) -> bool:
        """Whether batch normalization is frozen, the default resolved."""
        return self.weights != "none" if self.freeze_normalization is None else self.freeze_normalization


@dataclass(frozen=True)
class RunOptions(Settings):
    """How a run is carried out; whatever they are, the same is learned.

    Args:
        workers: threads that read images.
        image_cache: folder where decoded images are kept for later runs; None keeps them for this one.
        image_cache_size: its limit in gigabytes; at 0 images are decoded each time.
        resume: go on from the checkpoint.
        checkpoint_steps: steps between two checkpoints within an epoch; each epoch's end writes one too.
        tensorboard: folder for TensorBoard's logs; None writes none.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    workers: int = setting(2, "threads that read images (default: {default})", check=at_least(1), metavar="N")
    image_cache: str | os.PathLike[str] | None = setting(
        None, "keep decoded images there for later runs too (default: for this run only)", metavar="DIR"
    )
    image_cache_size: float = setting(
        4.0,
        "at most so many gigabytes of them; 0: decode an image each time (default: {default})",
        metavar="GB",
    )
    resume: bool = setting(False, "go on with a run that was stopped")
    checkpoint_steps: int = setting(
        200, "steps between two (default: {default})", check=at_least(1), metavar="N"
    )
    tensorboard: str | os.PathLike[str] | None = setting(None, "write logs for TensorBoard", metavar="DIR")
