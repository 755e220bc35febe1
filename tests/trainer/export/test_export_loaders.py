"""The export in every loader: model families x kinds of weights x loaders give the same captions.

Weights are drawn, not trained: large ones, so that captions differ from picture to picture and no
rounding changes them. What is right is what the trainer's own search says.
"""

import os
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_runs import FAMILIES, SEARCH, write_run
from small_configs import pipeline_config

from pipeline.run import write_dataset
from trainer.config import ModelConfig
from trainer.decoding.caption_split import SplitCaptioner
from trainer.precision import set_precision
from trainer.trained_run import load_run

BFLOAT16 = ("attend", "transformer")  # precision is of what runs a graph, and not in any
PICTURES = 4

# `saved_model_cli run` for several exports, where there is only TensorFlow.
COMMAND_LINE = """
import json, sys
import numpy as np
from tensorflow.python.tools import saved_model_cli
exports, image_bytes = sys.argv[1:-1], sys.argv[-1]
for path in exports:
    signature = saved_model_cli.get_signature_def_map(path, "serve")["serving_default"]
    feeds = saved_model_cli.load_inputs_from_input_arg_string(f"image_bytes={image_bytes}", "", "")
    assert feeds.keys() == signature.inputs.keys()
    saved_model_cli.run_saved_model_with_feed_dict(
        path, "serve", "serving_default", feeds, path + "-outputs", True
    )
assert not {"pipeline", "trainer", "tfrecords_schema", "apache_beam"} & sys.modules.keys()
"""


class Exported(NamedTuple):
    path: str
    expected: dict[str, str]  # best captions by image id
    weights: list[np.ndarray]  # of captioner and encoder


def expected_of(run):
    """The captions that the trainer's own search finds, and the weights that the export is of."""
    trained = load_run(run)
    captioner = SplitCaptioner(trained.model, trained.dataset, "test", SEARCH, PICTURES)
    weights = [np.array(weight) for weight in trained.model.weights]
    if not trained.dataset.manifest.has_images():  # else the model has the CNN
        weights += variables_of(os.path.join(trained.config.data, "image_encoder"))
    return captioner().captions, weights


def variables_of(saved_model):
    """The values that a SavedModel holds."""
    reader = tf.train.load_checkpoint(os.path.join(saved_model, "variables", "variables"))
    names = reader.get_variable_to_shape_map()
    return [reader.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name]


@pytest.fixture(scope="module")
def images(pictures, tmp_path_factory):
    """A dataset of images, whose CNN can be trained."""
    directory = tmp_path_factory.mktemp("images") / "data"
    write_dataset(pipeline_config(pictures, directory, features="image"))
    return str(directory)


@pytest.fixture(scope="module")
def exports(dataset, images, trained_run, tmp_path_factory):
    """One export after the other of the same process, by family and kind of weights."""
    directory = tmp_path_factory.mktemp("exports")
    written = {}

    def write(model, kind, run, expected):
        # It is checked here, not when it is written.
        path = load_run(run).export(str(directory / f"{model}-{kind}"), SEARCH, check=False)
        written[model, kind] = Exported(path, *expected)

    write("attend", "average", trained_run, expected_of(trained_run))
    for model, sizes in FAMILIES.items():
        changes = dict(model=model, model_config=ModelConfig(**sizes), average_decay=0.0)
        run = write_run(dataset, directory / f"{model}-run", **changes)
        expected = expected_of(run)
        write(model, "plain", run, expected)
        if model in BFLOAT16:
            narrow = write_run(
                dataset, directory / f"{model}-narrow", **changes, precision="bfloat16"
            )
            set_precision("bfloat16")  # as after training in this process
            try:
                write(model, "bfloat16", narrow, expected)  # the same weights
            finally:
                set_precision("float32")
        run = write_run(images, directory / f"{model}-images", **changes)
        write(model, "trained-CNN", run, expected_of(run))
    return written


@pytest.fixture(scope="module")
def image_bytes(exports, pictures):
    """The contents of the pictures."""
    [names] = {tuple(exported.expected) for exported in exports.values()}
    return [tf.io.read_file(os.path.join(pictures, "images", name)).numpy() for name in names]


@pytest.fixture(scope="module")
def from_command_line(exports, image_bytes, tmp_path_factory):
    """What `saved_model_cli run` gives for each export."""
    file = tmp_path_factory.mktemp("inputs") / "image_bytes.npy"
    np.save(file, np.array(image_bytes, object))
    paths = [exported.path for exported in exports.values()]
    subprocess.run(
        [sys.executable, "-c", COMMAND_LINE, *paths, str(file)], check=True, cwd=file.parent,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return {
        path: {
            name: np.load(f"{path}-outputs/{name}.npy", allow_pickle=True)
            for name in ("captions", "log_probs", "error")
        }
        for path in paths
    }


def in_session(path, image_bytes):
    """What both signatures give in a session of TensorFlow 1."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signatures = tf.compat.v1.saved_model.loader.load(session, ["serve"], path).signature_def
        return [
            session.run(
                {name: each.name for name, each in signatures[key].outputs.items()},
                {signatures[key].inputs["image_bytes"].name: image_bytes},
            )
            for key in ("serving_default", "encode")
        ]


def arrays(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


def assert_same_answers(answers, others):
    assert answers.keys() == others.keys()
    for name, value in answers.items():
        if value.dtype == object:
            assert value.tolist() == others[name].tolist()
        else:
            np.testing.assert_allclose(value, others[name], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_every_loader_gives_the_captions_that_the_trainer_gives(
    exports, image_bytes, from_command_line
):
    for (model, kind), exported in exports.items():
        path = exported.path
        signatures = tf.saved_model.load(path).signatures
        loaded = arrays(signatures["serving_default"](image_bytes=tf.constant(image_bytes)))
        said = [row[0].decode() for row in loaded["captions"]]
        assert said == list(exported.expected.values()), (model, kind)
        assert len(set(loaded["log_probs"][:, 0])) > 1, (model, kind)  # it looks at the picture
        assert loaded["error"].tolist() == [b""] * PICTURES

        assert_same_answers(from_command_line[path], loaded)  # in a session too
        layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
        assert_same_answers(arrays(layer(tf.constant(image_bytes))), loaded)
        if kind == "plain" or model == "attend":
            captioned, encoded = in_session(path, image_bytes)
            assert_same_answers(captioned, loaded)
            of_loaded = signatures["encode"](image_bytes=tf.constant(image_bytes))
            assert_same_answers(encoded, arrays(of_loaded))
            assert ("jpeg_bytes" in encoded) == (kind == "trained-CNN")


@pytest.mark.slow
def test_every_export_holds_each_weight_once(exports):
    for model_and_kind, exported in exports.items():
        written, expected = (
            sorted((each.shape, each.tobytes()) for each in weights)
            for weights in (variables_of(exported.path), exported.weights)
        )
        assert written == expected, model_and_kind
        graph = os.path.getsize(os.path.join(exported.path, "saved_model.pb"))
        assert graph < 3 * 2**20  # no weight has become a constant


def test_an_export_is_as_large_as_its_weights(dataset, tmp_path):
    run = write_run(
        dataset, tmp_path / "run",
        model_config=ModelConfig(units=1024, embedding_units=1024, annotation_units=1024),
    )  # fmt: skip
    path = load_run(run).export(str(tmp_path / "export"), SEARCH, check=False)
    weights = sum(4 * np.prod(weight.shape) for weight in load_run(run).model.weights)

    def size(directory):
        paths = [os.path.join(f, name) for f, _, names in os.walk(directory) for name in names]
        return sum(map(os.path.getsize, paths))

    assert size(path) <= 1.05 * (weights + size(os.path.join(dataset, "image_encoder")))


@pytest.mark.slow
def test_a_session_gives_empty_results_for_a_batch_of_no_pictures(exports):
    for model, kind in (("attend", "plain"), ("transformer", "plain"), ("merge", "trained-CNN")):
        path = exports[model, kind].path
        captioned, encoded = in_session(path, [])
        assert captioned["captions"].shape == captioned["log_probs"].shape == (0, 3)
        assert captioned["error"].shape == encoded["error"].shape == (0,)
        [features] = encoded.keys() - {"error"}
        assert len(encoded[features]) == 0
