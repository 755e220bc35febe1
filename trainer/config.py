"""What one training run is asked to do."""

import dataclasses
import math

from tfrecords_schema.errors import InputError

MODELS = ("attend", "attend_after", "merge", "inject", "transformer")
STRATEGIES = ("auto", "one", "mirrored", "multiworker")
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("constant", "cosine", "noam", "plateau")
SEEDS = 2**32  # NumPy takes seeds below it

OBJECTIVES = ("cross_entropy", "self_critical")
BASELINES = ("samples", "greedy")
CHOICES = {
    "objective": OBJECTIVES,
    "baseline": BASELINES,
    "model": MODELS,
    "strategy": STRATEGIES,
    "precision": PRECISIONS,
    "schedule": SCHEDULES,
    "cell": ("lstm", "gru"),
    "join": ("add", "concat"),
    "inject": ("first", "init", "every"),
}
_RECURRENT = {"attend", "attend_after", "merge", "inject"}
OF_MODELS = {  # flags that only some models have
    "cell": _RECURRENT,
    "embedding_units": _RECURRENT,
    "attention_units": {"attend", "attend_after"},
    "doubly_stochastic": {"attend", "attend_after"},
    "recurrent_dropout": {"attend"},
    "heads": {"transformer"},
    "feed_forward_units": {"transformer"},
    "join": {"merge"},
    "inject": {"inject"},
    "jit_compile": {"attend", "attend_after", "merge", "inject"},
}
OF_IMAGES = ("unfreeze_at", "flip", "crop", "color_jitter")  # for a dataset of images


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The size and kind of a captioner.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    cell: str = "lstm"
    layers: int = 1
    units: int = 512  # of a recurrent layer; the width of the transformer
    embedding_units: int = 512
    annotation_units: int = 512  # of the image, or a region of it, after its projection
    attention_units: int = 256
    heads: int = 8  # of the transformer
    feed_forward_units: int = 1024
    join: str = "add"
    inject: str = "first"
    tied_embeddings: bool = False
    region_dropout: float = 0.5
    annotation_dropout: float = 0.3
    embedding_dropout: float = 0.5
    layer_dropout: float = 0.1
    recurrent_dropout: float = 0.0
    output_dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuses bad values."""
        for name, value in dataclasses.asdict(self).items():
            if name in CHOICES:
                _one_of(name, value)
            elif name.endswith("_dropout"):
                _fraction(name, value)
            elif name != "tied_embeddings":
                _at_least(name, value, 1)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The flags of `python -m trainer train`.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    data: str
    run: str
    model: str = "attend"
    strategy: str = "auto"
    precision: str = "float32"
    jit_compile: bool = False  # XLA for what writes captions
    batch_size: int = 32  # images a step, over all replicas; each comes with all its captions
    readers: int = 1  # each with shards of its own; a worker reads for those of its replicas alone
    epochs: int = 12
    objective: str = "cross_entropy"
    initial_run: str = ""  # whose best weights are where this one starts
    samples: int = 5  # captions that self_critical draws, an image
    baseline: str = "samples"  # what their rewards are compared with
    schedule: str = "cosine"
    learning_rate: float = 1e-3  # the highest
    warmup_steps: int = 0
    plateau_patience: int = 2  # epochs without a better validation before the rate falls
    plateau_factor: float = 0.5  # to this part of what it was
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    doubly_stochastic: float = 0.0  # weight of the term that has attention see all of the image
    word_dropout: float = 0.0  # share of words before that are hidden from the model
    scheduled_sampling: float = 0.0  # share of words before that are the model's own, at the end
    average_decay: float = 0.998  # of the moving average of the weights that is kept; 0: none
    unfreeze_at: int = -1  # epoch after which the CNN of a dataset of images learns too; -1: never
    encoder_learning_rate: float = 1e-5  # of the CNN, at its highest
    flip: bool = False  # images are mirrored at random: captions say left and right
    crop: float = 0.0  # share of an image's sides that is cut off at most, at random
    color_jitter: float = 0.0  # brightness, contrast and saturation change by this share at most
    output_bias: bool = True  # starts as the log frequency of words
    word_vectors: str = ""  # text file of vectors that embeddings start from
    validation_images: int = 5000  # that are captioned after an epoch, at most
    patience: int = 5  # epochs without a better validation; see trainer.scores.validation
    checkpoint_every: int = 500  # steps
    seed: int = 0
    model_config: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Refuses bad values."""
        for name in ("data", "run"):
            if not getattr(self, name):
                raise InputError(f"--{name} is empty, it must be a directory")
        if not 0 <= self.seed < SEEDS:
            raise InputError(f"--seed={self.seed} must lie in 0 to {SEEDS - 1}")
        for name in ("model", "strategy", "precision", "objective", "baseline", "schedule"):
            _one_of(name, getattr(self, name))
        if self.objective == "self_critical" and not self.initial_run:
            raise InputError(
                "--objective=self_critical needs --initial_run: it makes a trained model better "
                "and cannot start from random weights"
            )
        if self.baseline == "samples" and self.samples == 1:
            raise InputError(
                "--samples=1 needs --baseline=greedy: one drawn caption has no others to be "
                "compared with"
            )
        for name, models in OF_MODELS.items():
            config = self if hasattr(self, name) else self.model_config
            value = getattr(config, name)
            if self.model not in models and value != getattr(type(config), name):
                raise InputError(
                    f"--{name}={value} is of --model={' and '.join(sorted(models))}, "
                    f"not of {self.model}"
                )
        for name in ("doubly_stochastic", "word_dropout", "scheduled_sampling"):
            if self.objective == "self_critical" and getattr(self, name):
                raise InputError(
                    f"--{name}={getattr(self, name)} is of --objective=cross_entropy, not of "
                    "self_critical"
                )
        if not 0 <= self.doubly_stochastic < math.inf:
            raise InputError(f"--doubly_stochastic={self.doubly_stochastic} must be 0 or more")
        counts = (
            "batch_size", "readers", "epochs", "samples", "patience", "plateau_patience",
            "checkpoint_every", "validation_images",
        )  # fmt: skip
        for name in counts:
            _at_least(name, getattr(self, name), 1)
        if self.batch_size % self.readers:
            raise InputError(
                f"--readers={self.readers} must divide --batch_size={self.batch_size}: each reader "
                "gives an equal part of a batch"
            )
        _at_least("warmup_steps", self.warmup_steps, 1 if self.schedule == "noam" else 0)
        fractions = (
            "label_smoothing", "word_dropout", "scheduled_sampling", "average_decay",
            "plateau_factor", "crop", "color_jitter",
        )  # fmt: skip
        for name in fractions:
            _fraction(name, getattr(self, name))
        _at_least("unfreeze_at", self.unfreeze_at, -1)
        for name in ("learning_rate", "encoder_learning_rate", "clip_norm"):
            value = getattr(self, name)
            if not value > 0:
                raise InputError(f"--{name}={value} must be more than 0")
            if name != "clip_norm" and value == math.inf:
                raise InputError(f"--{name}={value} must be finite")


def _one_of(name: str, value: str) -> None:
    if value not in CHOICES[name]:
        raise InputError(f"--{name}={value!r} must be one of: {', '.join(CHOICES[name])}")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"--{name}={value} must be at least {least}")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(f"--{name}={value} must lie in 0 to 1, without 1")
