"""Builds the Keras model of the image encoder: a known network or the user's own, up to a layer."""

import os

import keras

from pipeline.config import TINY, PipelineConfig
from pipeline.encoder.networks import NETWORKS, build_network, find_layer, network_side
from tfrecords_schema.errors import InputError
from tfrecords_schema.keras_settings import set_up_keras

_SIDE = 224  # image size for a user's model without a fixed input size


def build_model(config: PipelineConfig) -> keras.Model:
    """Builds the model that computes the features of the configuration.

    Returns:
      A model from float32 [batch, side, side, 3] in [0, 255] to grid [batch, height, width, depth]
      or pooled [batch, depth]. With `--features=image` it is the grid's, for the trainer to train.

    Raises:
      InputError: weights, layer or model file are missing or do not fit.
    """
    set_up_keras()
    name, layer, pooled = config.encoder, config.encoder_layer, config.features == "pooled"
    if name in (TINY, *NETWORKS):
        side = config.image_size or network_side(name)
        if name != TINY:
            layer = layer or (NETWORKS[name].pooled if pooled else NETWORKS[name].grid)
        model = build_network(
            name, layer, config.encoder_weights, config.encoder_seed, side, pooled
        )
    else:
        model = _load_own(name, layer, config.image_size)
    return _with_features(model, pooled)


def _load_own(path: str, layer: str, image_size: int) -> keras.Model:
    if not os.path.isfile(path):
        raise InputError(
            f"--encoder={path}: no such file; give the name of a network or the path of a Keras "
            "model file (.keras)"
        )
    try:
        network = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises any error of the file's own layers
        detail = " ".join(str(error).split())[:400]
        raise InputError(f"--encoder={path}: Keras cannot load this model: {detail}") from error
    shape = getattr(network, "input_shape", None)  # a list of shapes if there are several inputs
    if not (isinstance(shape, tuple) and len(shape) == 4 and shape[3] == 3):
        raise InputError(
            f"--encoder={path}: the model's input has shape {shape}, an image encoder takes "
            "[batch, side, side, 3]"
        )
    side = shape[1] or shape[2] or image_size or _SIDE
    if {shape[1], shape[2]} - {None, side} or image_size not in (0, side):
        asked = f"--image_size={image_size}" if image_size else "square images"
        raise InputError(f"--encoder={path}: the model takes images of {shape[1:3]}, not {asked}")
    if layer:
        network = keras.Model(network.inputs, find_layer(network, layer).output)
    image = keras.Input((side, side, 3))
    name, _ = os.path.splitext(os.path.basename(path))
    try:
        return keras.Model(image, network(image), name=name)
    except ValueError as error:
        detail = " ".join(str(error).split())[:400]
        raise InputError(
            f"--encoder={path}: the model takes no images of {side} pixels; give another "
            f"--image_size: {detail}"
        ) from error


def _with_features(model: keras.Model, pooled: bool) -> keras.Model:
    shape = model.output_shape
    rank = len(shape) if isinstance(shape, tuple) else 0
    if rank and model.output.dtype != "float32":  # a user's model in mixed precision
        output = keras.layers.Activation("linear", dtype="float32")(model.output)
        model = keras.Model(model.input, output, name=model.name)
    if rank == 4 and pooled:
        mean = keras.layers.GlobalAveragePooling2D()(model.output)
        model = keras.Model(model.input, mean, name=model.name)
    elif rank != (2 if pooled else 4) or None in shape[1:]:
        wanted = "[batch, depth]" if pooled else "[batch, height, width, depth]"
        raise InputError(
            f"--encoder_layer: the output of {model.name} has shape {shape}, this kind of "
            f"--features needs {wanted}: give another layer"
        )
    model.trainable = False
    return model
