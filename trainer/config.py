"""What one training run is asked to do."""

import dataclasses

from tfrecords_schema.errors import InputError

MODELS = ("attend",)
STRATEGIES = ("auto", "one", "mirrored", "multiworker")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The size of a captioner.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    embedding_units: int = 256
    lstm_units: int = 512
    attention_units: int = 256
    annotation_units: int = 512
    annotation_dropout: float = 0.3
    embedding_dropout: float = 0.4
    output_dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuses bad values."""
        for name, value in dataclasses.asdict(self).items():
            if name.endswith("_units"):
                _at_least(name, value, 1)
            else:
                _fraction(name, value)


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
    batch_size: int = 32  # images a step, over all replicas; each comes with all its captions
    epochs: int = 15
    learning_rate: float = 1e-3  # at the start; falls to 0 over the epochs
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    average_decay: float = 0.998  # of the moving average of the weights that is kept; 0: none
    patience: int = 5  # epochs without a better validation CIDEr
    seed: int = 0
    model_config: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Refuses bad values."""
        for flag, allowed in (("model", MODELS), ("strategy", STRATEGIES)):
            if getattr(self, flag) not in allowed:
                raise InputError(
                    f"--{flag}={getattr(self, flag)!r} must be one of: {', '.join(allowed)}"
                )
        for name in ("batch_size", "epochs", "patience"):
            _at_least(name, getattr(self, name), 1)
        for name in ("label_smoothing", "average_decay"):
            _fraction(name, getattr(self, name))
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"--{name}={getattr(self, name)} must be more than 0")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"--{name}={value} must be at least {least}")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(f"--{name}={value} must lie in 0 to 1, without 1")
