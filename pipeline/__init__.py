"""Writes captioned images as sharded TFRecords, with Apache Beam.

    from pipeline import PipelineConfig, verify_dataset, write_dataset

The names are imported on first use, since TensorFlow and Beam take seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.run import write_dataset
    from pipeline.verify.verify_dataset import verify_dataset

__all__ = ["PipelineConfig", "verify_dataset", "write_dataset"]

_MODULES = {
    "PipelineConfig": "pipeline.config",
    "verify_dataset": "pipeline.verify.verify_dataset",
    "write_dataset": "pipeline.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
