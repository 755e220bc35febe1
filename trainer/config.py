"""What one training run is asked to do: the flags of `train`, one field a flag."""

import dataclasses
import math
from typing import Any

from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import check_flags, check_goes_with, flag

MODELS = ("attend", "attend_after", "merge", "inject", "transformer")
STRATEGIES = ("auto", "one", "mirrored", "multiworker")
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("constant", "cosine", "noam", "plateau")
OBJECTIVES = ("cross_entropy", "self_critical")
BASELINES = ("samples", "greedy")
SEEDS = 2**32  # NumPy takes seeds below it

_RECURRENT = {"model": ("attend", "attend_after", "merge", "inject")}
_ATTENTION = {"model": ("attend", "attend_after")}
_CROSS_ENTROPY = {"objective": ("cross_entropy",)}
_DATA, _MODEL, _OBJECTIVE = "data", "model", "objective"
_OPTIMIZATION, _REGULARIZATION = "optimization", "regularization"
_IMAGES, _DEVICES, _VALIDATION = "training the CNN", "devices", "validation and output"


def _dropout(default: float, help: str, **settings: Any) -> Any:
    return flag(default, help=help, group=_REGULARIZATION, least=0, below=1, **settings)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The size and kind of a captioner.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    cell: str = flag(
        "lstm", help="of recurrent layers", group=_MODEL, choices=("lstm", "gru"), of=_RECURRENT
    )
    layers: int = flag(
        1, help="recurrent layers, or layers of the transformer", group=_MODEL, least=1
    )
    units: int = flag(
        512, help="of a recurrent layer; the width of the transformer", group=_MODEL, least=1
    )
    embedding_units: int = flag(512, help="of a word", group=_MODEL, least=1, of=_RECURRENT)
    annotation_units: int = flag(
        512, help="of the image or a region of it, after its projection", group=_MODEL, least=1
    )
    attention_units: int = flag(
        256, help="of additive attention", group=_MODEL, least=1, of=_ATTENTION
    )
    heads: int = flag(8, help="of attention", group=_MODEL, least=1, of={"model": ("transformer",)})
    feed_forward_units: int = flag(
        1024, help="of feed-forward layers", group=_MODEL, least=1, of={"model": ("transformer",)}
    )
    join: str = flag(
        "add",
        help="how image and words meet",
        group=_MODEL,
        choices=("add", "concat"),
        of={"model": ("merge",)},
    )
    inject: str = flag(
        "first",
        help="the image is the first input, the initial state, or part of every input",
        group=_MODEL,
        choices=("first", "init", "every"),
        of={"model": ("inject",)},
    )
    tied_embeddings: bool = flag(
        False, help="the output layer shares the weights of the embedding", group=_MODEL
    )
    region_dropout: float = _dropout(
        0.5, "regions of an image that are left out; 0 where captions count things"
    )
    annotation_dropout: float = _dropout(0.3, "on the image, or on regions of it")
    embedding_dropout: float = _dropout(0.5, "on embedded words")
    layer_dropout: float = _dropout(0.1, "between recurrent layers; within transformer layers")
    recurrent_dropout: float = _dropout(
        0.0, "on the weights from state to state (DropConnect)", of={"model": ("attend",)}
    )
    output_dropout: float = _dropout(0.5, "before the softmax")

    def __post_init__(self) -> None:
        """Refuses bad values."""
        check_flags(self)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The flags of `train`. The defaults are those of the recipe `attend`.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    data: str = flag(help="dataset directory", group=_DATA, path=True)
    run: str = flag(
        help="directory of the run; an unfinished run continues", group=_DATA, path=True
    )
    model: str = flag("attend", help="kind of captioner", group=_MODEL, choices=MODELS)
    strategy: str = flag(
        "auto",
        help="auto is multiworker with TF_CONFIG, mirrored with several devices, else one",
        group=_DEVICES,
        choices=STRATEGIES,
    )
    precision: str = flag(
        "float32",
        help="of matrix products: float16 is faster on GPUs, bfloat16 on CPUs that have it",
        group=_DEVICES,
        choices=PRECISIONS,
    )
    jit_compile: bool = flag(
        False,
        help="XLA compiles what writes captions, in validation and in self-critical training",
        group=_DEVICES,
        of=_RECURRENT,
    )
    batch_size: int = flag(
        32,
        help="images a step over all replicas, each with all its captions",
        group=_DATA,
        least=1,
    )
    readers: int = flag(
        1,
        help="parts in which the shards are read; a worker reads only the parts of its replicas; "
        "decides the order of the data",
        group=_DATA,
        least=1,
    )
    epochs: int = flag(12, help="at most", group=_OPTIMIZATION, least=1)
    objective: str = flag(
        "cross_entropy",
        help="cross-entropy of the references, or CIDEr of the model's own captions (Rennie et "
        "al. 2017)",
        group=_OBJECTIVE,
        choices=OBJECTIVES,
    )
    initial_run: str = flag(
        "", help="run whose best weights this one starts from", group=_OBJECTIVE, path=True
    )
    samples: int = flag(
        5, help="self_critical: captions sampled for an image", group=_OBJECTIVE, least=1
    )
    baseline: str = flag(
        "samples",
        help="self_critical: a sample is compared with the image's other samples, or with the "
        "greedy caption as in the paper",
        group=_OBJECTIVE,
        choices=BASELINES,
    )
    max_words: int = flag(
        30,
        help="words of the longest caption that is written in training: in validation and "
        "self_critical",
        group=_OBJECTIVE,
        least=1,
    )
    schedule: str = flag(
        "cosine", help="of the learning rate", group=_OPTIMIZATION, choices=SCHEDULES
    )
    learning_rate: float = flag(1e-3, help="the peak", group=_OPTIMIZATION, above=0)
    warmup_steps: int = flag(
        0, help="steps over which the learning rate rises", group=_OPTIMIZATION, least=0
    )
    plateau_patience: int = flag(
        2,
        help="plateau: epochs without improvement before the learning rate falls",
        group=_OPTIMIZATION,
        least=1,
    )
    plateau_factor: float = flag(
        0.5, help="plateau: factor of the fall", group=_OPTIMIZATION, least=0, below=1
    )
    clip_norm: float = flag(
        5.0,
        help="bound on the global norm of the gradient; inf: none",
        group=_OPTIMIZATION,
        above=0,
        most=math.inf,
    )
    label_smoothing: float = flag(
        0.1,
        help="share of a label that is spread over the vocabulary",
        group=_REGULARIZATION,
        least=0,
        below=1,
    )
    doubly_stochastic: float = flag(
        0.0,
        help="weight of the term that spreads attention over the image (Xu et al. 2015)",
        group=_REGULARIZATION,
        least=0,
        of=_ATTENTION | _CROSS_ENTROPY,
    )
    word_dropout: float = _dropout(
        0.0, "words read that are hidden, so that the image must tell", of=_CROSS_ENTROPY
    )
    scheduled_sampling: float = flag(
        0.0,
        help="share of words read that are the model's own at the end of the run (Bengio et al. "
        "2015)",
        group=_REGULARIZATION,
        least=0,
        below=1,
        of=_CROSS_ENTROPY,
    )
    average_decay: float = flag(
        0.998,
        help="of the EMA of the weights, which is validated and kept; 0: no EMA",
        group=_OPTIMIZATION,
        least=0,
        below=1,
    )
    unfreeze_at: int = flag(
        -1, help="epochs before the CNN is trained too; -1: never", group=_IMAGES, least=-1
    )
    encoder_learning_rate: float = flag(
        1e-5, help="of the CNN, the peak; it follows the schedule", group=_IMAGES, above=0
    )
    flip: bool = flag(
        False, help="mirrors images at random; captions say left and right", group=_IMAGES
    )
    crop: float = flag(
        0.0, help="largest share of the sides that is cut off", group=_IMAGES, least=0, below=1
    )
    color_jitter: float = flag(
        0.0,
        help="largest change of brightness, contrast and saturation; captions name colors",
        group=_IMAGES,
        least=0,
        below=1,
    )
    output_bias: bool = flag(
        True, help="the output bias starts as the log frequency of words", group=_OPTIMIZATION
    )
    word_vectors: str = flag(
        "",
        help="text file of vectors (GloVe, word2vec, fastText) that embeddings start from",
        group=_MODEL,
        path=True,
    )
    validation_images: int = flag(
        5000, help="images that are captioned after each epoch", group=_VALIDATION, least=1
    )
    patience: int = flag(
        5,
        help="epochs without a better validation CIDEr, or at equal CIDEr a lower validation "
        "loss, before training ends",
        group=_VALIDATION,
        least=1,
    )
    checkpoint_every: int = flag(
        500, help="steps; also after each epoch", group=_VALIDATION, least=1
    )
    seed: int = flag(
        0, help="of weights, order and dropout", group=_OPTIMIZATION, least=0, most=SEEDS - 1
    )
    model_config: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Refuses bad values."""
        for name in ("data", "run"):
            if not getattr(self, name):
                raise InputError(f"--{name} is empty, it must be a directory")
        check_flags(self)
        values = {"model": self.model, "objective": self.objective}
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


OF_IMAGES = ("unfreeze_at", "flip", "crop", "color_jitter")  # for a dataset of images
