"""A Keras model as a `.keras` file, written without a second copy of its weights in memory.

`model.save` makes the whole file in memory, and each weight twice more on the way there, which
takes more than the features of such a model then do.
"""

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def weight_value(weight: keras.Variable) -> np.ndarray:
    """The value of a weight, not copied: it must not be changed, nor kept while the weight is."""
    value = tf.convert_to_tensor(weight)
    return np.asarray(value if value.shape.rank else value.numpy())


def save_keras(model: keras.Model, path: str) -> None:
    """Writes `model` to the local file `path`, for `keras.models.load_model`."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        with _saved_in_place(model):
            keras.saving.save_model(model, folder, zipped=False)
        with zipfile.ZipFile(path, "w") as file:
            for parent, _, names in os.walk(folder):
                for name in sorted(names):
                    member = os.path.join(parent, name)
                    file.write(member, os.path.relpath(member, folder))


class _NotCopied:
    """What NumPy takes as an array when it is asked for a copy."""

    def __init__(self, weight: keras.Variable):
        self._weight = weight

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return weight_value(self._weight)


class _Store:
    """A layer's part of the file, given to the layer in place of Keras' own."""

    def __init__(self, store: Any):
        self._store = store

    def __setitem__(self, name: str, value: Any) -> None:
        self._store[name] = _NotCopied(value) if isinstance(value, keras.Variable) else value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextlib.contextmanager
def _saved_in_place(model: keras.Model) -> Iterator[None]:
    """Meanwhile layers save their weights without copies."""
    layers = list(_layers(model))
    for layer in layers:
        save = layer.save_own_variables
        layer.save_own_variables = lambda store, save=save: save(_Store(store))
    try:
        yield
    finally:
        for layer in layers:
            del layer.save_own_variables


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Layers that hold weights themselves, each once."""
    seen: set[int] = set()
    models = [model]
    while models:
        for layer in models.pop().layers:
            if isinstance(layer, keras.Model):
                models.append(layer)
            elif id(layer) not in seen:
                seen.add(id(layer))
                yield layer
