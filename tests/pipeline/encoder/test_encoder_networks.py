"""The networks: each is that of keras.applications, with its preprocessing, from pixels to layer.

Sizes of the networks without their top layers are those that Keras publishes.
"""

from typing import NamedTuple

import h5py
import keras
import numpy as np
import pytest
from keras import applications
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from pipeline.encoder.networks import NETWORKS, build_network, network_side
from tfrecords_schema.errors import InputError

RNG = np.random.default_rng(0)


class Published(NamedTuple):
    """What is known of a network."""

    module: str  # of keras.applications
    function: str
    parameters: int  # without top
    side: int
    grid: tuple
    pooled: tuple


PUBLISHED = {
    "vgg16": Published("vgg16", "VGG16", 14_714_688, 224, (14, 14, 512), (4096,)),
    "vgg19": Published("vgg19", "VGG19", 20_024_384, 224, (14, 14, 512), (4096,)),
    "resnet50": Published("resnet", "ResNet50", 23_587_712, 224, (7, 7, 2048), (2048,)),
    "resnet101": Published("resnet", "ResNet101", 42_658_176, 224, (7, 7, 2048), (2048,)),
    "resnet152": Published("resnet", "ResNet152", 58_370_944, 224, (7, 7, 2048), (2048,)),
    "inception_v3": Published(
        "inception_v3", "InceptionV3", 21_802_784, 299, (8, 8, 2048), (2048,)
    ),
    "mobilenet_v2": Published("mobilenet_v2", "MobileNetV2", 2_257_984, 224, (7, 7, 1280), (1280,)),
    "mobilenet_v3_large": Published(
        "mobilenet_v3", "MobileNetV3Large", 2_996_352, 224, (7, 7, 960), (960,)
    ),
    "efficientnet_v2_b0": Published(
        "efficientnet_v2", "EfficientNetV2B0", 5_919_312, 224, (7, 7, 1280), (1280,)
    ),
    "efficientnet_v2_s": Published(
        "efficientnet_v2", "EfficientNetV2S", 20_331_360, 384, (12, 12, 1280), (1280,)
    ),
    "efficientnet_v2_m": Published(
        "efficientnet_v2", "EfficientNetV2M", 53_150_388, 480, (15, 15, 1280), (1280,)
    ),
    "efficientnet_v2_l": Published(
        "efficientnet_v2", "EfficientNetV2L", 117_746_848, 480, (15, 15, 1280), (1280,)
    ),
    "convnext_tiny": Published("convnext", "ConvNeXtTiny", 27_820_128, 224, (7, 7, 768), (768,)),
    "convnext_small": Published("convnext", "ConvNeXtSmall", 49_454_688, 224, (7, 7, 768), (768,)),
    "convnext_base": Published("convnext", "ConvNeXtBase", 87_566_464, 224, (7, 7, 1024), (1024,)),
    "convnext_large": Published(
        "convnext", "ConvNeXtLarge", 196_230_336, 224, (7, 7, 1536), (1536,)
    ),
    "densenet121": Published("densenet", "DenseNet121", 7_037_504, 224, (7, 7, 1024), (1024,)),
}
FAST = ("mobilenet_v2", "vgg16")
# The least of each family: all features are checked, of images of the published size.
FAMILIES = (
    "vgg16", "vgg19", "mobilenet_v2", "resnet50", "inception_v3", "mobilenet_v3_large",
    "efficientnet_v2_b0", "convnext_tiny", "densenet121",
)  # fmt: skip
# Of these the pooled features are checked, of small images, and of large ones the shapes alone.
OF_SMALL_IMAGES = ("resnet101", "efficientnet_v2_s", "convnext_tiny", "convnext_small")
LARGE = ("resnet152", "efficientnet_v2_m", "efficientnet_v2_l", "convnext_base", "convnext_large")
PARAMETERS_OF_FC1_AND_FC2 = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096


def networks(names):
    return [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow, id=name)
        for name in names
    ]


def build(name, pooled=False, layer="", weights="random", seed=0, side=0):
    return build_network(name, layer, weights, seed, side or network_side(name), pooled)


def pixels(count, side):
    """Noise over a slope, so that neither images nor their regions are alike."""
    slope = np.linspace(0, 200, side)[:, None, None]
    return (RNG.uniform(0, 55, (count, side, side, 3)) + slope).astype(np.float32)


def by_keras(name, weights, images, with_top=False, pooling=None):
    """What one gets from keras.applications alone: (model, preprocessed images)."""
    published = PUBLISHED[name]
    model = getattr(applications, published.function)(
        weights=None, include_top=with_top, pooling=pooling, input_shape=images.shape[1:]
    )
    model.set_weights(weights + model.get_weights()[len(weights) :])
    module = getattr(applications, published.module)
    return model, module.preprocess_input(images.copy())


def assert_features_equal(features, expected):
    """Equal to float32 rounding, and not because they are all the same."""
    scale = np.abs(expected).max()
    assert np.std(expected) > 1e-2 * scale > 0
    np.testing.assert_allclose(features / scale, expected / scale, rtol=0, atol=2e-5)


def mean_of(network):
    """The last layer that pools by an average."""
    means = keras.layers.GlobalAveragePooling2D
    *_, mean = [layer for layer in network.layers if isinstance(layer, means)]
    return mean


def test_every_network_is_tested():
    assert set(PUBLISHED) == set(NETWORKS) == {*FAMILIES, *OF_SMALL_IMAGES, *LARGE}


@pytest.mark.parametrize("name", networks(FAMILIES))
def test_a_network_is_the_published_one_and_gives_the_features_that_keras_gives(name):
    known, layer = PUBLISHED[name], NETWORKS[name].grid
    model = build(name, layer=layer)
    assert model.name == name
    assert model.count_params() == known.parameters
    assert model.input_shape == (None, known.side, known.side, 3)
    assert model.output_shape == (None, *known.grid)
    images = pixels(1, known.side)
    # A VGG is pooled by its top, ConvNeXt has a layer after the mean: see the tests below.
    pooling = None if layer or known.module == "convnext" else "avg"
    reference, preprocessed = by_keras(name, model.get_weights(), images, pooling=pooling)
    grid = reference.get_layer(layer).output if layer else reference.output
    if pooling:
        grid = mean_of(reference).input
    both = keras.Model(reference.input, {"grid": grid, "last": reference.output})
    found = both(preprocessed, training=False)
    expected, pooled = found["grid"].numpy(), [found["last"].numpy()] * bool(pooling)
    assert_features_equal(model(images, training=False).numpy(), expected)
    for features in pooled:
        model = build(name, pooled=True)
        assert model.output_shape == (None, *known.pooled)
        assert model.count_params() == known.parameters
        assert_features_equal(model(images, training=False).numpy(), features)


@pytest.mark.parametrize("name", networks(OF_SMALL_IMAGES + LARGE))
def test_a_network_of_small_images_is_the_published_one(name):
    known = PUBLISHED[name]
    reduction = 32
    side = 2 * reduction
    model = build(name, pooled=True, side=side)
    assert model.name == name
    assert model.count_params() == known.parameters
    assert mean_of(model.layers[-1]).input.shape == (None, 2, 2, known.grid[-1])
    assert model.output_shape == (None, *known.pooled)
    assert network_side(name) == known.side == known.grid[0] * reduction
    if name in OF_SMALL_IMAGES:
        images = pixels(1, side)
        reference, preprocessed = by_keras(name, model.get_weights(), images, pooling="avg")
        expected = reference(preprocessed, training=False).numpy()
        assert_features_equal(model(images, training=False).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_pooled_features_of_a_vgg_are_those_of_its_layer_fc2(name):
    known = PUBLISHED[name]
    model = build(name, pooled=True, layer=NETWORKS[name].pooled)
    assert model.output_shape == (None, *known.pooled)
    assert model.count_params() == known.parameters + PARAMETERS_OF_FC1_AND_FC2
    images = pixels(2, known.side)
    reference, preprocessed = by_keras(name, model.get_weights(), images, with_top=True)
    reference = keras.Model(reference.input, reference.get_layer("fc2").output)
    expected = reference(preprocessed, training=False).numpy()
    assert_features_equal(model(images, training=False).numpy(), expected)


@pytest.mark.parametrize(
    "name, layer, shape",
    [
        ("vgg16", "block5_pool", (7, 7, 512)),
        ("mobilenet_v2", "out_relu", (7, 7, 1280)),
        ("mobilenet_v2", "block_13_expand_relu", (14, 14, 576)),
        ("mobilenet_v2", "predictions", (1000,)),  # of the top layers
        ("tiny", "conv3", (16, 16, 96)),
    ],
)
def test_a_layer_is_chosen_by_its_name(name, layer, shape):
    assert build(name, layer=layer).output_shape == (None, *shape)


def test_a_layer_that_keras_numbers_has_the_same_name_each_time():
    for _ in range(2):
        model = build("inception_v3", layer="conv2d_4", side=75)
        assert model.output_shape == (None, 15, 15, 192)


def test_a_layer_that_is_not_there_is_refused_and_the_last_ones_are_named():
    with pytest.raises(InputError, match=r"^--encoder_layer=block6: vgg16 has no such.* fc1, fc2"):
        build("vgg16", layer="block6", side=32)


@pytest.mark.parametrize("name, side", [("mobilenet_v2", 31), ("inception_v3", 74)])
def test_images_too_small_for_a_network_are_refused(name, side):
    with pytest.raises(InputError, match=f"^--image_size={side}: not with {name}: .*at least"):
        build(name, side=side)


def test_random_weights_depend_on_the_seed_alone():
    def weights(seed):
        return build("mobilenet_v2", seed=seed, side=32).get_weights()

    one = weights(1)
    keras.utils.set_random_seed(99)
    again, other = weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_random_weights_are_the_same_for_grid_and_pooled():
    grid, pooled = (build("mobilenet_v2", pooled, side=32).get_weights() for pooled in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(grid, pooled, strict=True))


def test_tiny_has_its_own_weights_whatever_the_seed():
    one, other = build("tiny"), build("tiny", weights="imagenet", seed=5, side=32)
    assert other.input_shape == (None, 32, 32, 3)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pixels_of_tiny_come_to_lie_between_minus_1_and_1():
    model = build("tiny")
    kernel, bias = model.get_weights()[:2]
    image = np.full((1, 64, 64, 3), 255, np.float32)
    first = build("tiny", layer="conv1")(image).numpy()
    np.testing.assert_allclose(first[0, 5, 5], np.maximum(kernel.sum((0, 1, 2)) + bias, 0), 1e-4)


@pytest.mark.parametrize(
    "layer, file",
    [
        ("", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("predictions", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
    ],
)
def test_imagenet_weights_are_those_of_the_file_that_keras_downloads(
    layer, file, tmp_path, monkeypatch
):
    published = applications.MobileNetV2(weights=None, include_top=bool(layer))
    with h5py.File(tmp_path / file, "w") as opened:
        save_weights_to_hdf5_group(opened, published)

    def download(name, origin, **_):
        assert origin.endswith(f"/{name}")
        return str(tmp_path / name)  # fails for any file but the one written

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    model = build("mobilenet_v2", weights="imagenet", layer=layer)
    for loaded, written in zip(model.get_weights(), published.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, written)


@pytest.mark.slow
def test_a_layer_that_keras_numbers_is_found_with_imagenet_weights(tmp_path, monkeypatch):
    published = applications.InceptionV3(weights=None, include_top=False)
    with h5py.File(tmp_path / "it.h5", "w") as file:
        save_weights_to_hdf5_group(file, published)
    monkeypatch.setattr(
        "keras.src.utils.file_utils.get_file", lambda *_, **__: str(tmp_path / "it.h5")
    )
    model = build("inception_v3", weights="imagenet", layer="conv2d_4", side=75)
    for loaded, written in zip(model.get_weights(), published.get_weights(), strict=False):
        np.testing.assert_array_equal(loaded, written)


def test_a_failed_download_is_told_in_one_line(monkeypatch):
    def download(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: 403 -- Forbidden\nand more")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    with pytest.raises(InputError) as error:
        build("mobilenet_v2", weights="imagenet")
    message = str(error.value)
    assert message.startswith(
        "--encoder_weights=imagenet: the download for mobilenet_v2 failed (URL fetch failure on "
    )
    assert "403" in message
    assert "path of a weights file" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",  # preprocessed as by TensorFlow
        "vgg16",  # as by Caffe
        pytest.param("densenet121", marks=pytest.mark.slow),  # as by PyTorch
    ],
)
def test_a_saved_model_gives_the_same_features_when_it_is_loaded(name, tmp_path):
    model = build(name, side=64)
    model.save(tmp_path / "it.keras")
    loaded = keras.models.load_model(tmp_path / "it.keras")
    images = pixels(2, 64)
    expected = model(images, training=False).numpy()
    assert loaded.name == name
    assert np.std(expected) > 0
    np.testing.assert_allclose(loaded(images, training=False), expected, rtol=1e-5, atol=1e-6)
