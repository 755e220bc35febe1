"""Trains captioners on TFRecords with tf.distribute, and exports a SavedModel.

    from trainer import TrainConfig, load_captioner, load_run, recipes, train

The names are imported on first use, since TensorFlow takes seconds. See docs/python.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer import recipes as recipes
    from trainer.config import ModelConfig as ModelConfig
    from trainer.config import TrainConfig as TrainConfig
    from trainer.decoding.search_config import SearchConfig as SearchConfig
    from trainer.loop import train as train
    from trainer.serving.captioner import load_captioner as load_captioner
    from trainer.trained_run import load_run as load_run

__all__ = [
    "ModelConfig",
    "SearchConfig",
    "TrainConfig",
    "load_captioner",
    "load_run",
    "recipes",
    "train",
]

_MODULES = {
    "ModelConfig": "trainer.config",
    "SearchConfig": "trainer.decoding.search_config",
    "TrainConfig": "trainer.config",
    "load_captioner": "trainer.serving.captioner",
    "load_run": "trainer.trained_run",
    "train": "trainer.loop",
}


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return importlib.import_module("trainer.recipes")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
