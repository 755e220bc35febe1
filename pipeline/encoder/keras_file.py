"""Writes a Keras model as a `.keras` file, without a second copy of its weights in memory.

`model.save` builds the whole file in memory, and copies each weight twice more. That takes more
memory than computing features with such a model.
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
    """The value of a weight, not copied: do not change it, nor keep it while the weight exists."""
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
    """An array for NumPy that is not copied."""

    def __init__(self, weight: keras.Variable):
        self._weight = weight

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return weight_value(self._weight)


class _Store:
    """A layer's part of the file, which replaces Keras' own."""

    def __init__(self, store: Any):
        self._store = store

    def __setitem__(self, name: str, value: Any) -> None:
        self._store[name] = _NotCopied(value) if isinstance(value, keras.Variable) else value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextlib.contextmanager
def _saved_in_place(model: keras.Model) -> Iterator[None]:
    """Makes layers save their weights without copies, within the context."""
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
    """The layers that hold weights of their own, each once."""
    seen: set[int] = set()
    models = [model]
    while models:
        for layer in models.pop().layers:
            if isinstance(layer, keras.Model):
                models.append(layer)
            elif id(layer) not in seen:
                seen.add(id(layer))
                yield layer
