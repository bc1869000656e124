"""What determines a training run."""

import math
from dataclasses import dataclass, field

from deep_ranking.errors import expect
from deep_ranking.images.augment import PRESETS
from deep_ranking.network.network import NetworkSettings
from deep_ranking.ranking import DISTANCES
from deep_ranking.ranking.mining import MINING

PRECISIONS = ("float32", "bfloat16", "float16")
JIT = ("auto", "on", "off")
SCHEDULES = ("constant", "cosine")
ENGINES = ("keras", "openvino", "openvino-bfloat16")


@dataclass(frozen=True)
class TrainingSettings:
    """A training run; the same settings, data and machine give the same weights.

    Args:
        network: the architecture.
        weights: "imagenet", "none", or a file; see `network.weights.load_weights`.
        gap: the g of the loss, above 0, in the units of the distance. (Why 0.2: docs/experiments.md.)
        distance: "squared_euclidean" (the paper) or "euclidean" (the blog).
        batch_size: images a step, a multiple of three; with mining it is classes times images.
        mining: "none" learns from given triplets; "all", "semi-hard" or "hard" from those that the classes of
            a batch's images make (see `ranking.mining`); "proxies" compares each image with a learned vector
            for each class instead (see `ranking.proxies`); gap and distance then serve the metrics alone.
        scale: of the proxies' softmax, above 0.
        smoothing: of the proxies' targets, 0 or more and below 1.
        classes_per_batch: P, the classes of a batch to mine in, 2 or more.
        images_per_class: K, the images of each of them, 2 or more.
        epochs: passes over the triplets; 0 saves the network as it starts.
        learning_rate: of SGD with Nesterov momentum, above 0.
        schedule: "constant", or "cosine": the rate falls to 0 along half a cosine over the run.
        warmup: share of the run's steps in which the rate rises from 0 first, 0 or more and below 1.
        momentum: 0 or more and below 1.
        weight_decay: the paper's lambda; on kernels, not on biases or normalization.
        augmentation: "paper" (pixel shift), "mirror" (the same and left for right), "flip" (that alone),
            "blog" (flips, zoom, shear, rotation) or "none".
        freeze_normalization: batch normalization keeps its pretrained statistics and scales; None does so
            whenever training starts from pretrained weights.
        backbone_rate: the backbone learns at this share, 0..1, of the learning rate; 0 freezes it, which is
            several times faster too. None: 0.1 from pretrained weights, else 1.
        train_from: the backbone's layers up to this one, by name, are frozen, and what they give is computed
            once for each image, so that a step costs the layers behind it alone; "" computes all of it
            anew. See `training.frozen`.
        views: with `train_from`, of each image: itself and draws of the augmentation, 1 or more.
        discriminants: above 0, the embedding's linear layer is replaced in the end by the linear
            discriminants of the training images, shrunk by so much (`training.refit`). 0 keeps it.
        average_mirror: what is measured and saved embeds an image by the mean of itself and its mirror image,
            in twice the time (`network.mirror`); what is learned is the same.
        engine: what runs the frozen layers of `train_from`, and the network for the discriminants: "keras",
            "openvino" or "openvino-bfloat16".
        precision: number type of the computation, "float32", "bfloat16" or "float16"; weights are float32 in
            any case, and so is the network that is saved.
        jit: compile the step by XLA, "on" or "off"; "auto" does where it pays, see `training.model`.
        seed: of weights, order, augmentation and dropout.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    weights: str = "imagenet"
    gap: float = 0.2
    distance: str = "squared_euclidean"
    batch_size: int = 24
    mining: str = "none"
    scale: float = 20.0
    smoothing: float = 0.0
    classes_per_batch: int = 6
    images_per_class: int = 4
    epochs: int = 10
    learning_rate: float = 0.01
    schedule: str = "constant"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.001
    augmentation: str = "paper"
    freeze_normalization: bool | None = None
    backbone_rate: float | None = None
    train_from: str = ""
    views: int = 1
    discriminants: float = 0.0
    average_mirror: bool = False
    engine: str = "keras"
    precision: str = "float32"
    jit: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        expect("gap", 0 < self.gap < math.inf, "a finite number above 0", self.gap)
        expect("distance", self.distance in DISTANCES, f"one of {', '.join(DISTANCES)}", self.distance)
        expect(
            "batch_size",
            self.batch_size >= 3 and self.batch_size % 3 == 0,
            "a multiple of three (query, positive, negative)",
            self.batch_size,
        )
        minings = ("none", *MINING, "proxies")
        expect("mining", self.mining in minings, f"one of {', '.join(minings)}", self.mining)
        for name in ("classes_per_batch", "images_per_class"):
            expect(name, getattr(self, name) >= 2, "2 or more", getattr(self, name))
        expect("epochs", self.epochs >= 0, "0 or more", self.epochs)
        expect("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0", self.learning_rate)
        expect("scale", self.scale > 0, "a number above 0", self.scale)
        expect("smoothing", 0 <= self.smoothing < 1, "0 or more and below 1", self.smoothing)
        expect("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}", self.schedule)
        expect("warmup", 0 <= self.warmup < 1, "a share of 0 or more and below 1", self.warmup)
        expect("views", self.views >= 1, "1 or more", self.views)
        known = 0 <= self.discriminants < math.inf and (not self.discriminants or self.mining != "none")
        expect("discriminants", known, "a shrinkage above 0 and classes to mine in; or 0", self.discriminants)
        linear = not self.discriminants or self.network.embedding_size > 0
        expect(
            "discriminants",
            linear,
            "a linear layer to replace (embedding_size above 0); or 0",
            self.discriminants,
        )
        expect("engine", self.engine in ENGINES, f"one of {', '.join(ENGINES)}", self.engine)
        expect("momentum", 0 <= self.momentum < 1, "0 or more and below 1", self.momentum)
        expect("weight_decay", self.weight_decay >= 0, "0 or more", self.weight_decay)
        expect(
            "augmentation", self.augmentation in PRESETS, f"one of {', '.join(PRESETS)}", self.augmentation
        )
        rate = self.backbone_rate
        expect("backbone_rate", rate is None or 0 <= rate <= 1, "a share of 0 to 1", rate)
        expect("precision", self.precision in PRECISIONS, f"one of {PRECISIONS}", self.precision)
        expect("jit", self.jit in JIT, f"one of {', '.join(JIT)}", self.jit)
        expect("seed", 0 <= self.seed < 2**31, "0 or more and below 2^31", self.seed)

    @classmethod
    def blog(cls) -> "TrainingSettings":
        """Return what the blog's code trained with; its loss is mended all the same."""
        return cls(
            NetworkSettings.blog(),
            gap=1.0,
            distance="euclidean",
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
