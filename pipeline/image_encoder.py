"""The image encoder: a SavedModel that goes from image bytes to features.

The launcher builds it once and writes it into the dataset, before any worker starts. Workers
load that file, and the trainer's export puts the very same graph in front of the decoder. Its
variables are frozen to constants: TensorFlow's CPU kernels then fold batch normalisation into
the convolutions, which makes MobileNetV2 about 1.6 times faster.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (  # the public name is TF 1's
    convert_variables_to_constants_v2,
)

from pipeline.decode_image import decode_image
from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import ENCODER_DIRECTORY, Encoder

KERAS_FILE = "image_encoder.keras"
RECEIPT_FILE = "receipts/image_encoder.json"
_TINY_SEED = 20150210  # fixed, so that `tiny` is the same network for everyone


class Network(NamedTuple):
    """How to build one convolutional network without weights."""

    build: Callable[[], keras.Model]  # float32 [batch, side, side, 3] in [0, 255] -> grid
    has_imagenet_weights: bool


def tiny() -> keras.Model:
    """Four convolutions with fixed pseudo-random weights, for demos and tests.

    Random filters keep colour, edges and coarse shape well enough for drawn pictures, and need
    no download. 64x64 images; grid 8x8x128.
    """
    rng = np.random.default_rng(_TINY_SEED)
    image = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    kernels = []
    for filters, stride in ((32, 1), (64, 2), (96, 2), (128, 2)):
        depth = x.shape[-1]
        kernel = rng.standard_normal((3, 3, depth, filters)) * np.sqrt(2 / (9 * depth))
        kernels.append([kernel, rng.standard_normal(filters) * 0.1])
        x = keras.layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu")(x)
    model = keras.Model(image, x, name="tiny")
    convolutions = [layer for layer in model.layers if layer.weights]
    for layer, weights in zip(convolutions, kernels, strict=True):
        layer.set_weights(weights)
    return model


def mobilenet_v2() -> keras.Model:
    """MobileNetV2, width 1.0 (Sandler et al. 2018). 224x224 images; grid 7x7x1280."""
    image = keras.Input((224, 224, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    network = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), include_top=False, weights=None
    )
    return keras.Model(image, network(x), name="mobilenet_v2")


NETWORKS = {"tiny": Network(tiny, False), "mobilenet_v2": Network(mobilenet_v2, True)}


class ImageEncoder(tf.Module):
    """What `image_encoder/` holds: decoding, resizing, preprocessing and the CNN."""

    def __init__(self, model: keras.Model, max_pixels: int):
        """Freezes `model`, float32 [batch, side, side, 3] in [0, 255] to features."""
        super().__init__(name="image_encoder")
        side = model.input_shape[1]
        images = tf.TensorSpec([None, side, side, 3], tf.float32, name="images")
        call = tf.function(lambda images: model(images, training=False))
        frozen = convert_variables_to_constants_v2(call.get_concrete_function(images))
        image_bytes = tf.TensorSpec([], tf.string, name="image_bytes")

        self.decode_image = tf.function(
            lambda image_bytes: decode_image(image_bytes, side, max_pixels), [image_bytes]
        )
        """One image: scalar string -> float32 [side, side, 3] in [0, 255]."""
        self.encode = tf.function(
            lambda images: tf.ensure_shape(frozen(images)[0], model.output_shape), [images]
        )
        """Decoded images: float32 [batch, side, side, 3] -> float32 [batch, *feature_shape]."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def __call__(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Encoded images: string [batch] -> float32 [batch, *feature_shape]."""
        images = tf.map_fn(self.decode_image, image_bytes, fn_output_signature=tf.float32)
        return self.encode(images)


def build_model(name: str, features: str, weights: str, seed: int) -> keras.Model:
    """The Keras model of an encoder.

    Args:
      name: a key of NETWORKS.
      features: `grid`, the last convolution's output, or `pooled`, its mean over the grid.
      weights: `imagenet`, `random`, or the path of a Keras weights file. `tiny` has its own.
      seed: of `random` weights.

    Returns:
      float32 [batch, side, side, 3] in [0, 255] to [batch, h, w, depth] or [batch, depth].

    Raises:
      InputError: the weights are not there or do not fit.
    """
    network = NETWORKS[name]
    keras.utils.set_random_seed(seed)
    model = network.build()
    if network.has_imagenet_weights and weights != "random":
        _load_weights(model, name, weights)
    if features == "pooled":
        pooled = keras.layers.GlobalAveragePooling2D()(model.output)
        model = keras.Model(model.input, pooled, name=model.name)
    model.trainable = False
    return model


def write_image_encoder(directory: str, model: keras.Model, name: str, max_pixels: int) -> Encoder:
    """Writes `image_encoder/` and `image_encoder.keras` into the dataset at `directory`.

    A receipt is written last: on an object store a directory is renamed file by file, so that
    one which is there may be half of one. With a receipt of the same encoder nothing is done.

    Returns:
      The manifest's entry for the encoder.
    """
    encoder = describe(model, name)
    receipt = os.path.join(directory, RECEIPT_FILE)
    content = json.dumps({"sha256": encoder.sha256, "max_pixels": max_pixels})
    if tf.io.gfile.exists(receipt) and read_text(receipt) == content:
        return encoder
    tf.io.gfile.makedirs(directory)
    with (
        tempfile.TemporaryDirectory() as folder,
        complete_or_absent(os.path.join(directory, KERAS_FILE)) as temporary,
    ):
        local = os.path.join(folder, KERAS_FILE)  # Keras writes to local files
        model.save(local)
        tf.io.gfile.copy(local, temporary)
    with complete_or_absent(os.path.join(directory, ENCODER_DIRECTORY)) as temporary:
        tf.saved_model.save(ImageEncoder(model, max_pixels), temporary)
    write_text(receipt, content)
    return encoder


def describe(model: keras.Model, name: str) -> Encoder:
    """The manifest's entry for an encoder; the fingerprint is over all of its weights."""
    digest = hashlib.sha256(name.encode())
    for value in model.get_weights():
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return Encoder(name, digest.hexdigest(), model.input_shape[1], tuple(model.output_shape[1:]))


def _load_weights(model: keras.Model, name: str, weights: str) -> None:
    [network] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if weights == "imagenet":
        try:
            source = keras.applications.MobileNetV2(
                input_shape=(224, 224, 3), include_top=False, weights="imagenet"
            )
        except Exception as error:  # Keras raises a bare Exception for a failed download
            raise InputError(
                f"--encoder_weights=imagenet: the download for {name} failed ({error}); "
                "give the path of a weights file instead"
            ) from error
        network.set_weights(source.get_weights())
        return
    if not os.path.isfile(weights):
        raise InputError(
            f"--encoder_weights={weights}: no such file; give 'imagenet', 'random' or the path "
            f"of a Keras weights file (.weights.h5 or .h5) of {name} without its top layer"
        )
    try:
        network.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        detail = " ".join(str(error).split())[:400]
        raise InputError(
            f"--encoder_weights={weights}: these weights do not fit {name} without its top "
            f"layer: {detail}"
        ) from error
