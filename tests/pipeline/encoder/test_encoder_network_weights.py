"""Weights files in every layout, written here by Keras, and those that do not fit."""

import functools
import shutil
import warnings

import h5py
import keras
import numpy as np
import pytest
from keras import applications
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from pipeline.encoder.network_weights import load_weights
from pipeline.encoder.networks import build_network
from tfrecords_schema.errors import InputError

# Any size of image has the same weights, but for a VGG's top.
SIDE = 32
FUNCTIONS = {
    "mobilenet_v2": applications.MobileNetV2,
    "vgg16": applications.VGG16,
    "vgg19": applications.VGG19,
    "convnext_tiny": applications.ConvNeXtTiny,
}


def make(name, with_top=False, **options):
    return FUNCTIONS[name](
        weights=None, include_top=with_top, input_shape=(SIDE, SIDE, 3), **options
    )


made = functools.cache(make)  # for networks that are only written
_loaded = functools.cache(make)


def blank(name, with_top=False, **options):
    """A network to load into, built once: no file has weights such as these."""
    network = _loaded(name, with_top, **options)
    network.set_weights([np.full(weight.shape, -7.0) for weight in network.weights])
    return network


def save_published(network, path):
    """The layout of the files that keras.applications downloads."""
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)


def save_whole(network, path):
    network.save(path)


def save_keras_3(network, path):
    network.save_weights(path)


# A whole model is refused as a published file is: it holds one.
LAYOUTS = [
    pytest.param(save_published, "it.h5", id="published"),
    pytest.param(save_whole, "it.h5", id="whole_model"),
    pytest.param(save_keras_3, "it.weights.h5", id="keras_3"),
]


def load(name, path, **options):
    """A network without top, with the weights of a file."""
    network = blank(name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_weights(network, str(path), name, lambda: blank(name, with_top=True))
    return network


def refusal(name, path):
    """The complaint about a file, without what all have in common."""
    with pytest.raises(InputError) as error:
        load(name, path)
    message = str(error.value)
    start = f"--encoder_weights={path}: "
    assert message.startswith(start)
    assert "\n" not in message
    assert len(message) < len(start) + 500
    return message.removeprefix(start)


def assert_weights_equal(network, written):
    """The network's weights are the first ones of `written`."""
    expected = written.get_weights()[: len(network.weights)]
    for value, other in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.fixture(
    scope="module",
    params=["mobilenet_v2", pytest.param("convnext_tiny", marks=pytest.mark.slow)],
)
def with_top(request):
    keras.utils.set_random_seed(1)
    return request.param, make(request.param, with_top=True)


@pytest.mark.parametrize("save, file", LAYOUTS)
def test_weights_are_loaded_from_a_file_without_top(with_top, save, file, tmp_path):
    name, _ = with_top
    written = made(name)
    save(written, tmp_path / file)
    assert_weights_equal(load(name, tmp_path / file), written)


@pytest.mark.parametrize("save, file", LAYOUTS)
def test_weights_are_loaded_from_a_file_with_top(with_top, save, file, tmp_path):
    name, written = with_top
    save(written, tmp_path / file)
    assert_weights_equal(load(name, tmp_path / file), written)


@pytest.mark.slow
@pytest.mark.parametrize("save, file", LAYOUTS[1:])
def test_weights_are_loaded_from_a_file_with_the_state_of_an_optimizer(save, file, tmp_path):
    written = make("mobilenet_v2", with_top=True, classes=1000)
    written.compile("adam", "categorical_crossentropy")
    written.optimizer.build(written.trainable_variables)
    save(written, tmp_path / file)
    assert_weights_equal(load("mobilenet_v2", tmp_path / file), written)


@pytest.mark.parametrize("save, file", LAYOUTS)
def test_weights_of_a_vgg_are_loaded_into_its_convolutions(save, file, tmp_path):
    written = made("vgg16")
    save(written, tmp_path / file)
    assert_weights_equal(load("vgg16", tmp_path / file), written)


@pytest.mark.slow
def test_a_vgg_file_with_top_serves_its_grid_and_its_layer_fc2(tmp_path):
    written = applications.VGG16(weights=None)  # 138 million weights
    path = tmp_path / "it.h5"
    save_published(written, path)
    for layer, pooled in (("block5_conv3", False), ("fc2", True)):
        model = build_network("vgg16", layer, str(path), 9, 224, pooled)
        assert_weights_equal(model, written)


@pytest.mark.slow
@pytest.mark.parametrize("save, file", [LAYOUTS[0], LAYOUTS[2]])
def test_a_vgg_file_without_top_is_refused_for_layer_fc2(save, file, tmp_path):
    path = tmp_path / file
    save(made("vgg16"), path)
    with pytest.raises(InputError, match="do not fit vgg16: layer fc1 ") as error:
        build_network("vgg16", "fc2", str(path), 0, 224, pooled=True)
    assert str(error.value).startswith(f"--encoder_weights={path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("save, file", LAYOUTS[::2])
def test_weights_of_another_width_are_refused_with_layer_and_shapes(save, file, tmp_path):
    save(make("mobilenet_v2", alpha=0.35), tmp_path / file)
    message = refusal("mobilenet_v2", tmp_path / file)
    assert message.startswith("these weights do not fit mobilenet_v2: layer Conv1 has shape")
    assert message.index("(3, 3, 3, 16)") < message.index("in the file, not")
    assert message.index("in the file, not") < message.index("(3, 3, 3, 32)")


@pytest.mark.parametrize("save, file", LAYOUTS[::2])
def test_weights_of_another_network_are_refused_with_layer_and_shapes(save, file, tmp_path):
    save(made("vgg19"), tmp_path / file)
    message = refusal("vgg16", tmp_path / file)
    # The fourth convolution of the third block is one that VGG16 does not have.
    assert message.startswith("these weights do not fit vgg16: layer block4_conv1 ")
    assert message.index("(3, 3, 256, 256)") < message.index("in the file, not")
    assert message.index("in the file, not") < message.index("(3, 3, 256, 512)")


@pytest.mark.parametrize("save, file", LAYOUTS[::2])
def test_weights_of_a_network_of_other_layers_are_refused(save, file, tmp_path):
    save(made("mobilenet_v2"), tmp_path / file)
    message = refusal("vgg16", tmp_path / file)
    assert message.startswith("these weights do not fit vgg16: layer block1_conv1 ")
    assert "in the file, not" in message


def test_weights_of_a_top_of_other_classes_are_refused(tmp_path):
    save_published(make("mobilenet_v2", with_top=True, classes=10), tmp_path / "it.h5")
    message = refusal("mobilenet_v2", tmp_path / "it.h5")
    assert "layer predictions has shape" in message
    assert message.index("(1280, 10)") < message.index("(1280, 1000)")


def test_a_file_of_keras_3_without_one_layer_is_refused(tmp_path):
    path = tmp_path / "it.weights.h5"
    save_keras_3(made("mobilenet_v2"), path)
    with h5py.File(path, "a") as file:
        del file["layers"]["batch_normalization_3"]
    assert "layer block_1_expand_BN has 0 weights in the file, not 4" in refusal(
        "mobilenet_v2", path
    )


def test_a_published_file_without_one_layer_is_refused(tmp_path):
    path = tmp_path / "it.h5"
    save_published(made("mobilenet_v2"), path)
    with h5py.File(path, "a") as file:
        names = [name for name in file.attrs["layer_names"] if "block_1_expand_BN" not in str(name)]
        file.attrs["layer_names"] = names
    assert "layer block_1_expand_BN (there block_1_depthwise) has shapes" in refusal(
        "mobilenet_v2", path
    )


@pytest.mark.parametrize("last, where", [("block5_conv3", "network"), ("block6_conv1", "file")])
def test_a_published_file_with_a_layer_less_or_more_at_its_end_is_refused(last, where, tmp_path):
    path = tmp_path / "it.h5"
    save_published(made("vgg16"), path)
    with h5py.File(path, "a") as file:
        names = list(file.attrs["layer_names"])
        if where == "file":
            group = file.create_group(last)
            group.attrs["weight_names"] = ["bias"]
            group["bias"] = np.zeros(3)
            names.append(type(names[0])(last))
        else:
            names = [name for name in names if last not in str(name)]
        file.attrs["layer_names"] = names
    message = refusal("vgg16", path)
    assert f"layer {last} of shapes [(3" in message
    assert message.endswith(f"is only in the {where}")


@pytest.mark.parametrize("file", ["it.h5", "it.weights.h5"])
def test_a_file_that_is_no_weights_file_is_refused(file, tmp_path):
    path = tmp_path / file
    path.write_text("no weights")
    assert refusal("mobilenet_v2", path).startswith("these weights do not fit mobilenet_v2: Unable")
    with h5py.File(path, "w") as other:
        other["numbers"] = np.zeros(3)
    assert refusal("mobilenet_v2", path).startswith("these weights do not fit mobilenet_v2: ")


def test_a_missing_file_is_refused_and_the_choices_are_named(tmp_path):
    message = refusal("mobilenet_v2", tmp_path / "it.h5")
    assert message.startswith("no such file; give 'imagenet', 'random' or the path of a")


def test_a_file_whose_name_is_that_of_the_other_layout_is_refused_with_the_right_name(tmp_path):
    network = made("vgg16")
    save_published(network, tmp_path / "published.h5")
    shutil.move(tmp_path / "published.h5", tmp_path / "published.weights.h5")
    assert "rename it, without .weights" in refusal("vgg16", tmp_path / "published.weights.h5")
    save_keras_3(network, tmp_path / "it.weights.h5")
    shutil.move(tmp_path / "it.weights.h5", tmp_path / "it.h5")
    assert "must end in .weights.h5" in refusal("vgg16", tmp_path / "it.h5")
