"""The encoder's Keras model: a user's own file or a network of the table, up to a layer."""

import keras
import numpy as np
import pytest
from small_configs import pipeline_config

from pipeline.encoder.encoder_model import build_model
from tfrecords_schema.errors import InputError


def build(directory, **changes):
    return build_model(pipeline_config("pictures", directory, **changes))


def network(height=32, width=32, depth=3):
    """Two convolutions: 32x32 images have grids of 15x15x4, then 7x7x8."""
    image = keras.Input((height, width, depth))
    x = keras.layers.Conv2D(4, 3, strides=2, name="first")(image)
    x = keras.layers.Conv2D(8, 3, strides=2, name="second")(x)
    return keras.Model(image, x)


def with_two_inputs():
    one, two = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    return keras.Model([one, two], keras.layers.Add()([one, two]))


def with_two_outputs():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, [keras.layers.Conv2D(2, 3)(image), keras.layers.Conv2D(4, 3)(image)])


def with_a_python_function():
    image = keras.Input((32, 32, 3))
    halved = keras.layers.Lambda(lambda x: x / 2, output_shape=(32, 32, 3))(image)
    return keras.Model(image, halved)


def of_words():
    return keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)])


def flat():
    model = network()
    return keras.Model(model.input, keras.layers.Flatten()(model.output))


def images(count=2, side=32):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def refusal(directory, **changes):
    with pytest.raises(InputError) as error:
        build(directory, **changes)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700
    return str(error.value)


@pytest.fixture(params=["own.keras", "own.h5"])
def own(request, tmp_path):
    """A user's model: (its file, what it gives)."""
    model = network()
    path = str(tmp_path / request.param)
    model.save(path)
    return path, model


def save(model, directory):
    path = str(directory / "own.keras")
    model.save(path)
    return path


def test_the_grid_of_a_users_model_is_its_output(own, tmp_path):
    path, model = own
    loaded = build(tmp_path, encoder=path)
    assert loaded.name == "own"
    assert loaded.input_shape == (None, 32, 32, 3)
    assert loaded.output_shape == (None, 7, 7, 8)
    assert loaded.trainable_weights == []
    np.testing.assert_allclose(loaded(images()), model(images()), rtol=1e-5, atol=1e-4)


def test_the_pooled_features_of_a_users_grid_are_its_mean(own, tmp_path):
    path, model = own
    loaded = build(tmp_path, encoder=path, features="pooled")
    assert loaded.name == "own"
    expected = model(images()).numpy().mean((1, 2))
    np.testing.assert_allclose(loaded(images()), expected, rtol=1e-4, atol=1e-4)


def test_the_pooled_features_of_a_users_flat_output_are_that_output(tmp_path):
    model = flat()
    loaded = build(tmp_path, encoder=save(model, tmp_path), features="pooled")
    np.testing.assert_allclose(loaded(images()), model(images()), rtol=1e-5, atol=1e-4)


def test_a_layer_of_a_users_model_is_chosen_by_its_name(own, tmp_path):
    path, model = own
    loaded = build(tmp_path, encoder=path, encoder_layer="first")
    expected = keras.Model(model.input, model.get_layer("first").output)(images())
    np.testing.assert_allclose(loaded(images()), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layer", ["", "first"])
def test_a_users_model_may_be_sequential(layer, tmp_path):
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3, name="first"), keras.layers.ReLU()]
    )
    loaded = build(tmp_path, encoder=save(model, tmp_path), encoder_layer=layer)
    expected = model.layers[0](images()) if layer else model(images())
    np.testing.assert_allclose(loaded(images()), expected, rtol=1e-5, atol=1e-4)


def test_features_of_a_users_model_in_mixed_precision_are_float32(tmp_path):
    image = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16")(image)
    assert features.dtype == "bfloat16"
    path = save(keras.Model(image, features), tmp_path)
    for kind in ("grid", "pooled"):
        loaded = build(tmp_path, encoder=path, features=kind)
        assert loaded.name == "own"
        assert loaded(images()).dtype == "float32"


def test_images_are_the_grids_model_for_the_trainer_to_train(own, tmp_path):
    path, _ = own
    assert build(tmp_path, encoder=path, features="image").output_shape == (None, 7, 7, 8)


@pytest.mark.parametrize("image_size, side", [(0, 224), (64, 64)])
def test_a_users_model_of_free_size_takes_the_size_asked_for(image_size, side, tmp_path):
    path = save(network(None, None), tmp_path)
    loaded = build(tmp_path, encoder=path, image_size=image_size)
    assert loaded.input_shape == (None, side, side, 3)
    assert None not in loaded.output_shape[1:]


def test_a_users_model_with_one_free_side_is_square(tmp_path):
    path = save(network(None, 40), tmp_path)
    assert build(tmp_path, encoder=path).input_shape == (None, 40, 40, 3)


def test_a_users_model_of_fixed_size_may_be_asked_for_that_size_only(own, tmp_path):
    path, _ = own
    assert build(tmp_path, encoder=path, image_size=32).input_shape == (None, 32, 32, 3)
    message = refusal(tmp_path, encoder=path, image_size=64)
    assert message == f"--encoder={path}: the model takes images of (32, 32), not --image_size=64"


def test_images_too_small_for_a_users_model_are_refused(tmp_path):
    path = save(network(None, None), tmp_path)
    message = refusal(tmp_path, encoder=path, image_size=2)
    assert message.startswith(f"--encoder={path}: the model takes no images of 2 pixels; give")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: network(32, 48), r"takes images of \(32, 48\), not square images"),
        (lambda: network(depth=1), r"input has shape \(None, 32, 32, 1\), an image encoder takes"),
        (of_words, r"input has shape \(None, 7\), an image encoder takes"),
        (with_two_inputs, r"input has shape \[\(None, 32, 32, 3\), \(None, 32, 32, 3\)\], an im"),
        (with_a_python_function, "Keras cannot load this model: .*Lambda"),
    ],
)
def test_a_users_model_that_is_no_image_encoder_is_refused(make, message, tmp_path):
    path = save(make(), tmp_path)
    text = refusal(tmp_path, encoder=path)
    assert text.startswith(f"--encoder={path}: ")
    with pytest.raises(InputError, match=message):
        build(tmp_path, encoder=path)


@pytest.mark.parametrize(
    "make, features, wanted",
    [
        (with_two_outputs, "grid", "[batch, height, width, depth]"),
        (with_two_outputs, "pooled", "[batch, depth]"),
        (flat, "grid", "[batch, height, width, depth]"),
        (flat, "image", "[batch, height, width, depth]"),
    ],
)
def test_an_output_that_is_not_what_the_features_need_is_refused(make, features, wanted, tmp_path):
    message = refusal(tmp_path, encoder=save(make(), tmp_path), features=features)
    assert message.startswith("--encoder_layer: the output of own has shape ")
    assert f"needs {wanted}: give another layer" in message


def test_a_layer_that_a_users_model_does_not_have_is_refused(own, tmp_path):
    path, _ = own
    message = refusal(tmp_path, encoder=path, encoder_layer="third")
    assert message.startswith("--encoder_layer=third: ")
    assert message.endswith("first, second")


@pytest.mark.parametrize("name", ["missing.keras", "missing.h5"])
def test_a_missing_model_file_is_refused(name, tmp_path):
    path = tmp_path / name
    message = refusal(tmp_path, encoder=str(path))
    assert message.startswith(f"--encoder={path}: no such file; give the name of a network or")


@pytest.mark.parametrize("name", ["text.keras", "text.h5"])
def test_a_file_that_is_no_model_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_text("no model")
    message = refusal(tmp_path, encoder=str(path))
    assert message.startswith(f"--encoder={path}: Keras cannot load this model: ")


def test_a_file_of_weights_alone_is_no_model(tmp_path):
    path = tmp_path / "own.weights.h5"
    network().save_weights(path)
    message = refusal(tmp_path, encoder=str(path))
    assert message.startswith(f"--encoder={path}: Keras cannot load this model: No model config")


def test_tiny_has_a_grid_of_any_size_and_its_mean(tmp_path):
    grid, pooled = (build(tmp_path, features=features) for features in ("grid", "pooled"))
    assert grid.name == pooled.name == "tiny"
    assert grid.output_shape == (None, 8, 8, 128)
    means = grid(images(side=64)).numpy().mean((1, 2))
    np.testing.assert_allclose(pooled(images(side=64)), means, rtol=1e-4, atol=1e-5)
    assert build(tmp_path, image_size=96).output_shape == (None, 12, 12, 128)
    assert build(tmp_path, encoder_layer="conv2").output_shape == (None, 32, 32, 64)


@pytest.mark.parametrize("image_size, side, grid", [(0, 224, (7, 7, 1280)), (96, 96, (3, 3, 1280))])
def test_a_network_takes_its_own_size_or_the_one_asked_for(image_size, side, grid, tmp_path):
    model = build(tmp_path, encoder="mobilenet_v2", encoder_weights="random", image_size=image_size)
    assert model.name == "mobilenet_v2"
    assert model.input_shape == (None, side, side, 3)
    assert model.output_shape == (None, *grid)
    assert model.trainable_weights == []


@pytest.mark.parametrize("features, shape", [("grid", (4, 4, 512)), ("image", (4, 4, 512))])
def test_the_grid_of_a_vgg_is_that_before_its_last_pooling(features, shape, tmp_path):
    changes = dict(encoder="vgg16", encoder_weights="random", features=features, image_size=64)
    assert build(tmp_path, **changes).output_shape == (None, *shape)


def test_the_named_layer_of_a_network_is_averaged_for_pooled_features(tmp_path):
    changes = dict(
        encoder="vgg16", encoder_weights="random", encoder_layer="block5_pool", image_size=64
    )
    grid, pooled = (
        build(tmp_path, **changes, features=features) for features in ("grid", "pooled")
    )
    means = grid(images(side=64)).numpy().mean((1, 2))
    assert means.shape == (2, 512)
    np.testing.assert_allclose(pooled(images(side=64)), means, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weights", ["imagenet", "it.h5"])
def test_the_layer_fc2_of_a_vgg_is_refused_for_another_size_of_image(weights, tmp_path):
    changes = dict(encoder="vgg16", encoder_weights=weights, features="pooled", image_size=64)
    message = refusal(tmp_path, **changes)
    assert message.startswith("--image_size=64: layer fc2 of vgg16 is of the top")
