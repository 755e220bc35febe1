"""The convolutional networks: a table of names, builders, layers and input sizes.

All but `tiny` are those of keras.applications, each with the preprocessing of its ImageNet weights,
so that every network takes pixels in [0, 255]. A grid is the last layer with spatial positions;
pooled features are the input of the network's own classifier.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import applications

from pipeline.config import TINY
from pipeline.encoder.network_weights import load_weights
from tfrecords_schema.errors import InputError, one_line

TINY_SIDE = 64
_TINY_SEED = 20150210  # fixed, so that `tiny` is the same network for everyone


class Network(NamedTuple):
    """The source of one network, and the layers that give its features."""

    module: Any  # module of keras.applications, with the network's `preprocess_input`
    build: Any  # function that builds the network
    side: int  # size of the images that its ImageNet weights were trained on, pixels
    grid: str = ""  # layer; empty: the last one before the top
    pooled: str = ""  # layer; empty: Keras' pooling="avg", the mean over the last layer


NETWORKS = {
    # The literature's VGG grid is the last convolution, before its pooling: 14x14 (Xu et al. 2015).
    "vgg16": Network(applications.vgg16, applications.VGG16, 224, "block5_conv3", "fc2"),
    "vgg19": Network(applications.vgg19, applications.VGG19, 224, "block5_conv4", "fc2"),
    "resnet50": Network(applications.resnet, applications.ResNet50, 224),
    "resnet101": Network(applications.resnet, applications.ResNet101, 224),
    "resnet152": Network(applications.resnet, applications.ResNet152, 224),
    "inception_v3": Network(applications.inception_v3, applications.InceptionV3, 299),
    "mobilenet_v2": Network(applications.mobilenet_v2, applications.MobileNetV2, 224),
    "mobilenet_v3_large": Network(applications.mobilenet_v3, applications.MobileNetV3Large, 224),
    "efficientnet_v2_b0": Network(applications.efficientnet_v2, applications.EfficientNetV2B0, 224),
    "efficientnet_v2_s": Network(applications.efficientnet_v2, applications.EfficientNetV2S, 384),
    "efficientnet_v2_m": Network(applications.efficientnet_v2, applications.EfficientNetV2M, 480),
    "efficientnet_v2_l": Network(applications.efficientnet_v2, applications.EfficientNetV2L, 480),
    "convnext_tiny": Network(applications.convnext, applications.ConvNeXtTiny, 224),
    "convnext_small": Network(applications.convnext, applications.ConvNeXtSmall, 224),
    "convnext_base": Network(applications.convnext, applications.ConvNeXtBase, 224),
    "convnext_large": Network(applications.convnext, applications.ConvNeXtLarge, 224),
    "densenet121": Network(applications.densenet, applications.DenseNet121, 224),
}


def network_side(name: str) -> int:
    """The image size of a network of the table, in pixels."""
    return TINY_SIDE if name == TINY else NETWORKS[name].side


def build_network(
    name: str, layer: str, weights: str, seed: int, side: int, pooled: bool
) -> keras.Model:
    """Builds a network of the table, or `tiny`, up to a layer.

    Args:
      name: a key of NETWORKS, or `tiny`.
      layer: the output layer; empty: the last one, or its mean over the grid if `pooled`.
      weights: `imagenet`, `random`, or the path of a Keras weights file. `tiny` has its own.
      seed: the seed of `random` weights.
      side: the size of the images, pixels.
      pooled: see `layer`.

    Returns:
      A model from float32 [batch, side, side, 3] in [0, 255] to the layer's output.

    Raises:
      InputError: there is no such layer, or the weights are missing or do not fit.
    """
    image = keras.Input((side, side, 3))
    if name == TINY:
        network, pixels = _tiny(side), image
    else:
        network = _build_with_weights(name, layer, weights, seed, side, pooled)
        pixels = NETWORKS[name].module.preprocess_input(image)
    if layer:
        network = keras.Model(network.input, find_layer(network, layer).output, name=network.name)
    return keras.Model(image, network(pixels), name=name)


def find_layer(network: keras.Model, layer: str) -> keras.Layer:
    """The layer with this name.

    Raises:
      InputError: there is none; the message names the last layers.
    """
    names = [each.name for each in network.layers]
    if layer not in names:
        raise InputError(
            f"--encoder_layer={layer}: {network.name} has no such layer; its last ones are "
            f"{', '.join(names[-12:])}"
        )
    return network.get_layer(layer)


def _build_with_weights(
    name: str, layer: str, weights: str, seed: int, side: int, pooled: bool
) -> keras.Model:
    def build(with_top: bool, weights: str | None = None) -> keras.Model:
        # Keras keeps numbering unnamed layers; `layer` is a name as in a new session.
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        return NETWORKS[name].build(
            include_top=with_top,
            weights=weights,
            input_shape=(side, side, 3),
            pooling="avg" if pooled and not layer else None,
        )

    try:
        network, with_top = build(with_top=False), False
    except ValueError as error:  # each network has a smallest size
        raise InputError(f"--image_size={side}: not with {name}: {one_line(error)}") from error
    if layer and layer not in [each.name for each in network.layers]:
        network, with_top = build(with_top=True), True
        find_layer(network, layer)
        if side != NETWORKS[name].side and weights != "random":
            raise InputError(
                f"--image_size={side}: layer {layer} of {name} is of the top, which is made for "
                f"images of {NETWORKS[name].side} pixels alone"
            )
    if weights == "imagenet":
        try:
            return build(with_top, "imagenet")
        except Exception as error:  # Keras raises a bare Exception for a failed download
            raise InputError(
                f"--encoder_weights=imagenet: the download for {name} failed ({one_line(error)}); "
                "give the path of a weights file instead"
            ) from error
    if weights != "random":
        load_weights(network, weights, name, lambda: build(with_top=True))
    return network


def _tiny(side: int) -> keras.Model:
    """Makes four convolutions with fixed pseudo-random weights, for demos and tests.

    Random filters keep enough color, edges and coarse shape for drawn pictures, and need no
    download. 64x64 images have a grid of 8x8x128.
    """
    rng = np.random.default_rng(_TINY_SEED)
    image = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    kernels = []
    for i, (filters, stride) in enumerate(((32, 1), (64, 2), (96, 2), (128, 2)), start=1):
        depth = x.shape[-1]
        kernel = rng.standard_normal((3, 3, depth, filters)) * np.sqrt(2 / (9 * depth))
        kernels.append([kernel, rng.standard_normal(filters) * 0.1])
        x = keras.layers.Conv2D(
            filters, 3, strides=stride, padding="same", activation="relu", name=f"conv{i}"
        )(x)
    model = keras.Model(image, x, name=TINY)
    convolutions = [layer for layer in model.layers if layer.weights]
    for layer, weights in zip(convolutions, kernels, strict=True):
        layer.set_weights(weights)
    return model
