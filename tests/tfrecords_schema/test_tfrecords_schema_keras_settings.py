"""A user's settings of Keras, in the environment and in keras.json, break and bend nothing."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_configs import pipeline_config, train_config

from pipeline.encoder.encoder_model import build_model
from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.keras_settings import set_up_keras
from trainer.models.make_model import make_model


def environment(folder, backend, **settings):
    """A process's, with settings of another program's liking."""
    folder.mkdir(exist_ok=True)
    (folder / "keras.json").write_text(json.dumps({"backend": "torch", **settings}))
    return os.environ | {"KERAS_HOME": str(folder), "KERAS_BACKEND": backend}


@pytest.fixture
def other_settings():
    """As a notebook may have left them."""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    yield
    set_up_keras()


def test_models_are_built_alike_whatever_the_settings(dataset, tmp_path, other_settings):
    image = np.random.default_rng(0).uniform(0, 255, [1, 64, 64, 3]).astype(np.float32)
    encoder_config = pipeline_config("-", tmp_path, image_size=64)
    config, opened = train_config(dataset, tmp_path), open_dataset(dataset)
    keras.utils.set_random_seed(0)
    bent = build_model(encoder_config), make_model(config, opened)
    set_up_keras()
    keras.utils.set_random_seed(0)
    right = build_model(encoder_config), make_model(config, opened)
    for mine, other in zip(bent, right, strict=True):
        for weight, expected in zip(mine.weights, other.weights, strict=True):
            assert weight.dtype == "float32"
            np.testing.assert_array_equal(weight, expected)
    np.testing.assert_array_equal(bent[0](image), right[0](image))


def test_a_backend_of_keras_that_is_not_tensorflow_is_named(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(InputError, match="with the backend 'jax': set KERAS_BACKEND=tensorflow"):
        set_up_keras()


@pytest.mark.parametrize("command, backend", [("trainer", "jax"), ("pipeline", "")])
def test_commands_start_whatever_the_settings(tmp_path, command, backend):
    settings = environment(
        tmp_path / "keras", backend, floatx="float16", image_data_format="channels_first"
    )
    arguments = [sys.executable, "-m", command, "-h"]
    result = subprocess.run(arguments, env=settings, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")


def test_settings_that_keras_refuses_are_named(tmp_path):
    settings = environment(tmp_path / "keras", "torch", floatx="bfloat16")
    result = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "--data=data", "--run=run"],
        env=settings, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"error: Keras refuses {tmp_path}/keras/keras.json: Invalid `floatx`" in result.stderr


@pytest.mark.slow
def test_a_run_is_the_same_whatever_the_settings(dataset, tmp_path):
    ends = []
    for name in ("ours", "bent"):
        bent = environment(
            tmp_path / "keras", "jax", floatx="float16", image_data_format="channels_first"
        )
        result = subprocess.run(
            [
                sys.executable, "-m", "trainer", "train", f"--data={dataset}", "--epochs=1",
                f"--run={tmp_path / name}", "--units=16", "--embedding_units=16",
            ],
            env=os.environ if name == "ours" else bent, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        row = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        ends.append(row | {"seconds": 0, "images_per_second": 0})
    assert ends[0] == ends[1]
