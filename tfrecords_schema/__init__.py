"""A beamcap dataset on disk, the format that the pipeline writes and the trainer reads.

    from tfrecords_schema import open_dataset

The names are imported on first use, since TensorFlow takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfrecords_schema.dataset import Dataset, open_dataset

__all__ = ["Dataset", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("tfrecords_schema.dataset"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
