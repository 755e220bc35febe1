"""The image encoder, a SavedModel from image bytes to features.

The launcher builds it once and writes it into the dataset, before any worker starts. Workers load
that file, and the trainer's export puts the same graph in front of the decoder. Its weights are
fixed (see `frozen_graph`). For a dataset of images, JPEG encoding replaces the CNN. Writing it
takes little more memory than the weights.
"""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import PipelineConfig
from pipeline.encoder.frozen_graph import freeze
from pipeline.encoder.keras_file import save_keras, weight_value
from pipeline.images.decode_image import Decoding, decode_format, decode_image
from pipeline.images.image_fault import format_number, image_fault
from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text
from tfrecords_schema.image_formats import FORMAT_NAMES
from tfrecords_schema.manifest import ENCODER_DIRECTORY, ENCODER_KERAS_FILE, Encoder

RECEIPT_FILE = "receipts/image_encoder.json"
IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")


class ImageEncoder(tf.Module):
    """The contents of `image_encoder/`: decoding, resizing, preprocessing and the CNN."""

    def __init__(self, model: keras.Model, config: PipelineConfig):
        """Freezes `model`, a function of float32 [batch, side, side, 3] in [0, 255]."""
        super().__init__(name="image_encoder")
        side = model.input_shape[1]
        decoding = Decoding(side, config.max_pixels, config.resize, config.allow_truncated)
        if config.features == "image":
            encode = _to_jpegs(config.jpeg_quality)
        else:
            encode = self._model = freeze(model, config.precision)
        images = tf.TensorSpec([None, side, side, 3], tf.float32, name="images")

        # A traced function must not hold `self`, or TensorFlow would keep it in memory forever.
        def of_file(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable:
            one = tf.TensorSpec([], tf.string, name="image_bytes")
            return tf.function(function, [one], autograph=False)

        decode = of_file(lambda image_bytes: decode_image(image_bytes, decoding))
        self.decode_image = decode
        """One image: scalar string -> float32 [side, side, 3] in [0, 255]."""
        self.decode_images = tf.function(
            # One image at a time, since the pipeline decodes a batch on each core.
            lambda image_bytes: tf.map_fn(
                decode, image_bytes, parallel_iterations=1,
                fn_output_signature=tf.TensorSpec([side, side, 3], tf.float32),
            ),
            [IMAGE_BYTES], autograph=False,
        )  # fmt: skip
        """A batch: string [batch] -> float32 [batch, side, side, 3] in [0, 255]."""
        self.encode = tf.function(encode, [images], autograph=False)
        """Decoded images: float32 [batch, side, side, 3] -> float32 [batch, *feature_shape].

        If the dataset holds images, the result is JPEG files, string [batch].
        """
        # The export chooses from these functions.
        self.format_number = of_file(format_number)
        """One image: scalar string -> its number in `image_formats`, scalar int32."""
        self.decoders = [
            of_file(functools.partial(decode_format, number=number, decoding=decoding))
            for number in range(len(FORMAT_NAMES))
        ]
        """By format number: `decode_image` for an image of this format."""
        self.image_fault = of_file(lambda image_bytes: image_fault(image_bytes, config.max_pixels))
        """One image that cannot be decoded: scalar string -> the reason, scalar string."""

    @tf.function(input_signature=[IMAGE_BYTES], autograph=False)
    def __call__(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Encodes image files, string [batch]; the result is that of `encode`."""
        return self.encode(self.decode_images(image_bytes))


def write_image_encoder(model: keras.Model, config: PipelineConfig) -> Encoder:
    """Writes `image_encoder/` and `image_encoder.keras` into the dataset of the configuration.

    A receipt is written last. An object store renames a directory file by file, so a directory
    without a receipt may be incomplete. With a receipt of the same encoder nothing is written.

    Returns:
      The manifest's entry for the encoder.
    """
    encoder, directory = describe(model, config.content()), config.output
    receipt = os.path.join(directory, RECEIPT_FILE)
    content = json.dumps({"sha256": encoder.sha256})
    parts = [
        receipt,
        *(os.path.join(directory, p) for p in (ENCODER_KERAS_FILE, ENCODER_DIRECTORY)),
    ]
    if all(map(tf.io.gfile.exists, parts)) and read_text(receipt) == content:
        return encoder
    tf.io.gfile.makedirs(directory)
    with (
        tempfile.TemporaryDirectory() as folder,
        complete_or_absent(os.path.join(directory, ENCODER_KERAS_FILE)) as temporary,
    ):
        local = os.path.join(folder, ENCODER_KERAS_FILE)  # Keras writes to local files
        save_keras(model, local)
        tf.io.gfile.copy(local, temporary)
    with complete_or_absent(os.path.join(directory, ENCODER_DIRECTORY)) as temporary:
        tf.saved_model.save(ImageEncoder(model, config), temporary)
    write_text(receipt, content)
    return encoder


def describe(model: keras.Model, config: Mapping[str, Any]) -> Encoder:
    """The manifest's entry for an encoder.

    The fingerprint covers its weights, and all other settings that affect an image's features.

    Args:
      model: the result of `build_model`, or a saved copy of it.
      config: the result of `PipelineConfig.content`, also as saved in the manifest.
    """
    names = ["encoder_layer", "features", "max_pixels", "resize", "allow_truncated"]
    is_image = config["features"] == "image"
    names.append("jpeg_quality" if is_image else "precision")
    side = model.input_shape[1]
    own_file = config.get("encoder_sha256")  # a user's model file, of which not only weights count
    settings = [model.name, side, own_file, *(config[name] for name in names)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for weight in model.weights:
        value = weight_value(weight)
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    shape = (side, side, 3) if is_image else tuple(model.output_shape[1:])
    return Encoder(model.name, digest.hexdigest(), side, shape)


def _to_jpegs(quality: int) -> Callable[[tf.Tensor], tf.Tensor]:
    def encode(images: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(tf.round(images), tf.uint8)
        return tf.map_fn(
            lambda image: tf.io.encode_jpeg(image, quality=quality),
            pixels, parallel_iterations=1, fn_output_signature=tf.string,
        )  # fmt: skip

    return encode
