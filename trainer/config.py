"""The configuration of a training run: the flags of `train`, one field a flag."""

import dataclasses
import math
from typing import Any

from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import REQUIRED, check_flags, check_goes_with, flag

MODELS = ("attend", "attend_after", "merge", "inject", "transformer")
STRATEGIES = ("auto", "one", "mirrored", "multiworker")
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("constant", "cosine", "noam", "plateau")
OBJECTIVES = ("cross_entropy", "self_critical")
BASELINES = ("samples", "greedy")
SEEDS = 2**32  # NumPy's seeds are below it

_RECURRENT = {"model": ("attend", "attend_after", "merge", "inject")}
_ATTENTION = {"model": ("attend", "attend_after")}
_TRANSFORMER = {"model": ("transformer",)}
_CROSS_ENTROPY = {"objective": ("cross_entropy",)}
_SELF_CRITICAL = {"objective": ("self_critical",)}
_PLATEAU = {"schedule": ("plateau",)}
_DATA, _MODEL, _OBJECTIVE = "data and run", "model", "objective"
_OPTIMIZATION, _REGULARIZATION = "optimization", "regularization"
_IMAGES, _DEVICES, _VALIDATION = "images (a dataset of --features=image)", "devices", "validation"


def _share(default: float, help: str, group: str = _REGULARIZATION, **settings: Any) -> Any:
    """A flag for a share of a whole, such as a dropout rate."""
    return flag(default, help, group, least=0, below=1, **settings)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The kind and the sizes of a captioner.

    Raises:
      InputError: a value is invalid; the message names the flag.
    """

    cell: str = flag("lstm", "recurrent cell", _MODEL, choices=("lstm", "gru"), of=_RECURRENT)
    layers: int = flag(1, "recurrent layers, or layers of the transformer", _MODEL, least=1)
    units: int = flag(512, "width of a recurrent layer, or of the transformer", _MODEL, least=1)
    embedding_units: int = flag(512, "width of a word", _MODEL, least=1, of=_RECURRENT)
    annotation_units: int = flag(
        512, "width of the image, or of a region of it, after its projection", _MODEL, least=1
    )
    attention_units: int = flag(256, "width of additive attention", _MODEL, least=1, of=_ATTENTION)
    heads: int = flag(8, "heads of attention", _MODEL, least=1, of=_TRANSFORMER)
    feed_forward_units: int = flag(
        1024, "width of feed-forward layers", _MODEL, least=1, of=_TRANSFORMER
    )
    join: str = flag(
        "add",
        "how image and words are joined",
        _MODEL,
        choices=("add", "concat"),
        of={"model": ("merge",)},
    )
    inject: str = flag(
        "first",
        "the image is the first input, the initial state, or part of every input",
        _MODEL,
        choices=("first", "init", "every"),
        of={"model": ("inject",)},
    )
    tied_embeddings: bool = flag(
        False, "the output layer shares the weights of the embedding", _MODEL
    )
    region_dropout: float = _share(
        0.5, "regions of an image that are left out; 0 where captions count things"
    )
    annotation_dropout: float = _share(0.3, "dropout on the image, or on regions of it")
    embedding_dropout: float = _share(0.5, "dropout on embedded words")
    layer_dropout: float = _share(
        0.1, "dropout between recurrent layers, or within transformer layers"
    )
    recurrent_dropout: float = _share(
        0.0, "dropout on the weights from state to state (DropConnect)", of={"model": ("attend",)}
    )
    output_dropout: float = _share(0.5, "dropout before the softmax")

    def __post_init__(self) -> None:
        """Checks all values."""
        check_flags(self)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The flags of `train`. The defaults are those of the recipe `attend`.

    Raises:
      InputError: a value is invalid; the message names the flag.
    """

    data: str = flag(REQUIRED, "dataset directory", _DATA, path=True)
    run: str = flag(REQUIRED, "directory of the run; an unfinished run continues", _DATA, path=True)
    model: str = flag("attend", "kind of captioner", _MODEL, choices=MODELS)
    strategy: str = flag(
        "auto",
        "auto is multiworker with TF_CONFIG, mirrored with several devices, else one",
        _DEVICES,
        choices=STRATEGIES,
    )
    precision: str = flag(
        "float32",
        "of matrix products: float16 is faster on GPUs, bfloat16 on CPUs that have it",
        _DEVICES,
        choices=PRECISIONS,
    )
    jit_compile: bool = flag(
        False,
        "XLA compiles the search for captions, in validation and in self-critical training",
        _DEVICES,
        of=_RECURRENT,
    )
    batch_size: int = flag(
        32, "images a step over all replicas, each with all its captions", _DATA, least=1
    )
    readers: int = flag(
        1,
        "parts in which the shards are read; a worker reads only the parts of its replicas; "
        "decides the order of the data",
        _DATA,
        least=1,
    )
    epochs: int = flag(12, "largest number of epochs", _OPTIMIZATION, least=1)
    objective: str = flag(
        "cross_entropy",
        "cross-entropy of the references, or CIDEr of the model's own captions (Rennie et al. "
        "2017)",
        _OBJECTIVE,
        choices=OBJECTIVES,
    )
    initial_run: str = flag(
        "", "run whose best weights this run starts from", _OBJECTIVE, path=True
    )
    samples: int = flag(5, "captions sampled for an image", _OBJECTIVE, least=1, of=_SELF_CRITICAL)
    baseline: str = flag(
        "samples",
        "a sample is compared with the image's other samples, or with the greedy caption as in "
        "the paper",
        _OBJECTIVE,
        choices=BASELINES,
        of=_SELF_CRITICAL,
    )
    max_words: int = flag(
        30,
        "words of the longest caption in validation and in self-critical training",
        _OBJECTIVE,
        least=1,
    )
    schedule: str = flag("cosine", "of the learning rate", _OPTIMIZATION, choices=SCHEDULES)
    learning_rate: float = flag(1e-3, "largest learning rate", _OPTIMIZATION, above=0)
    warmup_steps: int = flag(
        200, "steps over which the learning rate rises from 0", _OPTIMIZATION, least=0
    )
    plateau_patience: int = flag(
        2,
        "epochs without improvement before the learning rate falls",
        _OPTIMIZATION,
        least=1,
        of=_PLATEAU,
    )
    plateau_factor: float = _share(
        0.5, "factor by which the learning rate falls", _OPTIMIZATION, of=_PLATEAU
    )
    clip_norm: float = flag(
        5.0,
        "bound on the global norm of the gradient; inf: none",
        _OPTIMIZATION,
        above=0,
        most=math.inf,
    )
    label_smoothing: float = _share(0.1, "share of a label that is spread over the vocabulary")
    doubly_stochastic: float = flag(
        0.0,
        "weight of the term that spreads attention over the image (Xu et al. 2015)",
        _REGULARIZATION,
        least=0,
        of=_ATTENTION | _CROSS_ENTROPY,
    )
    word_dropout: float = _share(
        0.0,
        "share of input words that are hidden, so that the model looks at the image",
        of=_CROSS_ENTROPY,
    )
    scheduled_sampling: float = _share(
        0.0,
        "share of input words that are the model's own at the end of the run (Bengio et al. 2015)",
        of=_CROSS_ENTROPY,
    )
    average_decay: float = _share(
        0.998, "of the EMA of the weights, which is validated and kept; 0: no EMA", _OPTIMIZATION
    )
    unfreeze_at: int = flag(
        -1, "epochs before the CNN is trained too; -1: never", _IMAGES, least=-1
    )
    encoder_learning_rate: float = flag(
        1e-5, "largest learning rate of the CNN; it follows the schedule", _IMAGES, above=0
    )
    flip: bool = flag(False, "mirrors images at random; captions say left and right", _IMAGES)
    crop: float = _share(0.0, "largest share of the sides that is cut off", _IMAGES)
    color_jitter: float = _share(
        0.0, "largest change of brightness, contrast and saturation; captions name colors", _IMAGES
    )
    output_bias: bool = flag(
        True, "the output bias starts as the log frequency of words", _OPTIMIZATION
    )
    word_vectors: str = flag(
        "",
        "text file of vectors (GloVe, word2vec, fastText) that embeddings start from",
        _MODEL,
        path=True,
    )
    validation_images: int = flag(
        5000, "images that are captioned after each epoch", _VALIDATION, least=1
    )
    patience: int = flag(
        5,
        "epochs without a better validation CIDEr, or at equal CIDEr a lower validation loss, "
        "before training ends",
        _VALIDATION,
        least=1,
    )
    checkpoint_every: int = flag(
        500, "steps between checkpoints; there is one after each epoch too", _VALIDATION, least=1
    )
    seed: int = flag(0, "of weights, order and dropout", _OPTIMIZATION, least=0, most=SEEDS - 1)
    model_config: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Checks all values."""
        for name in ("data", "run"):
            if not getattr(self, name):
                raise InputError(f"--{name} is empty, it must be a directory")
        check_flags(self)
        values = {name: getattr(self, name) for name in ("model", "objective", "schedule")}
        for config in (self, self.model_config):
            check_goes_with(config, values)
        if self.objective == "self_critical" and not self.initial_run:
            raise InputError(
                "--objective=self_critical needs --initial_run: it makes a trained model better "
                "and cannot start from random weights"
            )
        if self.baseline == "samples" and self.samples == 1:
            raise InputError(
                "--samples=1 needs --baseline=greedy: one sampled caption has no others to be "
                "compared with"
            )
        if self.batch_size % self.readers:
            raise InputError(
                f"--readers={self.readers} must divide --batch_size={self.batch_size}: each reader "
                "gives an equal part of a batch"
            )
        if self.schedule == "noam" and not self.warmup_steps:
            raise InputError("--warmup_steps=0 must be at least 1 with --schedule=noam")


OF_IMAGES = ("unfreeze_at", "flip", "crop", "color_jitter")  # flags for datasets of images only
