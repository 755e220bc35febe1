"""Loads the weights of a network from a file, in any layout of Keras.

The layouts are those of the published `.h5` files, with and without the top layers, and of Keras
3's `.weights.h5`. Keras' errors about files that do not fit have several forms, one of them
megabytes long. Here the error is one line with the first layer that differs, and both shapes.
"""

import os
import re
import warnings
from collections.abc import Callable

import h5py
import keras

from tfrecords_schema.errors import InputError

# Keras' error for a `.weights.h5` file; the rest of its message is the weights themselves.
_KERAS_SHAPES = re.compile(
    r"object <\w+ name=(?P<layer>[^,]+),.*?variable\.shape=(?P<network>\(.*?\)), "
    r"Received: value\.shape=(?P<file>\(.*?\))"
)
_KERAS_COUNTS = re.compile(
    r"Layer '(?P<layer>[^']+)' expected (?P<network>\d+) variables, "
    r"but received (?P<file>\d+) variables"
)


def load_weights(
    network: keras.Model, path: str, name: str, build_with_top: Callable[[], keras.Model]
) -> None:
    """Loads a weights file into `network`.

    Args:
      network: the network whose weights are replaced.
      path: the path of the file.
      name: the name of the network, for errors.
      build_with_top: makes the same network with its top layers, whose weights come last, for a
        file that has them.

    Raises:
      InputError: the file is missing, is no weights file, or does not fit.
    """
    if not os.path.isfile(path):
        raise InputError(
            f"--encoder_weights={path}: no such file; give 'imagenet', 'random' or the path of a "
            f"Keras weights file (.weights.h5 or .h5) of {name}"
        )
    try:
        count = _count_weights(path)
        if count > len(network.weights):
            with_top = build_with_top()
            if count == len(with_top.weights):
                _load(with_top, path)
                network.set_weights(with_top.get_weights()[: len(network.weights)])
                return
        _load(network, path)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"--encoder_weights={path}: these weights do not fit {name}: {_explain(error)}"
        ) from error


def _load(network: keras.Model, path: str) -> None:
    with h5py.File(path) as file:
        has_names = "layer_names" in file.get("model_weights", file).attrs
    if path.endswith(".weights.h5"):
        if has_names:
            raise ValueError("its layout is that of published files: rename it, without .weights")
    elif has_names:
        _compare(network, path)
    else:
        raise ValueError("it has no layer names; one of Keras 3's layout must end in .weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a hundred for a file that it then rejects
        network.load_weights(path)


def _compare(network: keras.Model, path: str) -> None:
    """Rejects a `.h5` file whose layers, in order as Keras reads them, have other shapes."""
    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        layers = [
            (name, [root[name][weight].shape for weight in root[name].attrs["weight_names"]])
            for name in map(_text, root.attrs["layer_names"])
        ]
    layers = [(name, shapes) for name, shapes in layers if shapes]
    own = [
        (layer.name, [tuple(weight.shape) for weight in layer.weights])
        for layer in network.layers
        if layer.weights
    ]
    for (name, expected), (in_file, found) in zip(own, layers, strict=False):
        if expected != found:
            other = "" if in_file == name else f" (there {in_file})"
            raise ValueError(f"layer {name}{other} has shapes {found} in the file, not {expected}")
    if len(own) != len(layers):
        longer = max(own, layers, key=len)[min(len(own), len(layers))]
        where = "network" if len(own) > len(layers) else "file"
        raise ValueError(f"layer {longer[0]} of shapes {longer[1]} is only in the {where}")


def _count_weights(path: str) -> int:
    with h5py.File(path) as file:
        found: list[str] = []
        root = file.get("model_weights", file)
        root.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    # A dropout layer's random state is not a weight.
    return sum("seed_generator" not in name for name in found)


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    if shapes := _KERAS_SHAPES.search(text):
        layer, own, found = shapes["layer"], shapes["network"], shapes["file"]
        return f"layer {layer} has shape {found} in the file, not {own}"
    if counts := _KERAS_COUNTS.search(text):
        layer, own, found = counts["layer"], counts["network"], counts["file"]
        return f"layer {layer} has {found} weights in the file, not {own}"
    return text[:400]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
