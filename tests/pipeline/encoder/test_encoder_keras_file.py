"""A Keras model's file: as `model.save` writes it, in less memory."""

import zipfile

import keras
import numpy as np
import pytest

from pipeline.encoder.keras_file import save_keras, weight_value


def small_model():
    """Layers in a model in a model, one of them used twice, one with a state of its own."""
    image = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same")
    inner = keras.Model(image, keras.layers.BatchNormalization()(twice(twice(image))))
    features = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inner(image)))
    model = keras.Model(image, keras.layers.Dense(4, dtype="mixed_bfloat16")(features))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(size=weight.shape))
    return model


def test_the_file_holds_what_keras_would_have_written(tmp_path):
    model = small_model()
    save_keras(model, str(tmp_path / "ours.keras"))
    model.save(tmp_path / "keras.keras")
    ours, theirs = (
        keras.models.load_model(tmp_path / f"{name}.keras") for name in ("ours", "keras")
    )
    assert ours.get_config() == theirs.get_config()
    for one, two, original in zip(ours.weights, theirs.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, original)
    names = [
        sorted(zipfile.ZipFile(tmp_path / f"{name}.keras").namelist()) for name in ("ours", "keras")
    ]
    assert names[0] == names[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keras.keras", "ours.keras"]


def test_a_model_can_be_saved_again_by_keras_after_an_error(tmp_path):
    model = small_model()
    with pytest.raises(OSError):
        save_keras(model, str(tmp_path / "nowhere" / "model.keras"))
    model.save(tmp_path / "model.keras")
    assert "save_own_variables" not in vars(model.layers[-1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_the_value_of_a_weight_is_that_of_keras(dtype, shape):
    weight = keras.Variable(np.ones(shape), dtype=dtype)
    value, expected = weight_value(weight), weight.numpy()
    assert (value.shape, value.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(value, expected)


def test_the_value_of_a_weight_is_not_copied():
    weight = keras.Variable(np.zeros((1000,)))
    one, two = (weight_value(weight).__array_interface__["data"] for _ in range(2))
    assert one == two
