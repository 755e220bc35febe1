"""The frozen graph: the model's features without its variables, in float32 or bfloat16."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import pipeline_config

from pipeline.encoder_model import build_model
from pipeline.frozen_graph import freeze

SIDE = 64


def images(count):
    """Noise of another strength in each image."""
    rng = np.random.default_rng(count)
    strength = np.linspace(80, 255, count)[:, None, None, None]
    return (rng.uniform(0, 1, (count, SIDE, SIDE, 3)) * strength).astype(np.float32)


def as_function(model, precision):
    signature = [tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="images")]
    return tf.function(freeze(model, precision), signature)


def nodes(function):
    """All operations of the graph, those of its functions too."""
    graph_def = function.get_concrete_function().graph.as_graph_def()
    inner = [node for each in graph_def.library.function for node in each.node_def]
    return [*graph_def.node, *inner]


def casts_to_bfloat16(function):
    return [
        node
        for node in nodes(function)
        if node.op == "Cast" and node.attr["DstT"].type == tf.bfloat16.as_datatype_enum
    ]


@pytest.fixture(scope="module", params=[("tiny", "grid"), ("tiny", "pooled"), ("mobilenet_v2", "")])
def model(request):
    name, features = request.param
    return build_model(
        pipeline_config(
            "pictures", "data", encoder=name, encoder_weights="random", image_size=SIDE,
            features=features or "grid",
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def float32(model):
    return as_function(model, "float32")


@pytest.fixture(scope="module")
def bfloat16(model):
    return as_function(model, "bfloat16")


def test_features_in_float32_are_those_of_the_model(model, float32):
    expected = model(images(3), training=False).numpy()
    scale = np.abs(expected).max()
    assert np.std(expected) > 1e-2 * scale
    np.testing.assert_allclose(float32(images(3)) / scale, expected / scale, rtol=0, atol=1e-5)
    assert not casts_to_bfloat16(float32)


def test_features_in_bfloat16_are_close_and_not_equal(model, bfloat16):
    expected = model(images(3), training=False).numpy().reshape(3, -1)
    features = bfloat16(images(3)).numpy().reshape(3, -1)
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((features * expected).sum(1) / norms > 0.99).all()
    error = np.abs(features - expected).max() / np.abs(expected).max()
    assert error > 1e-4  # of float32 it is 1e-6


def test_in_bfloat16_the_casts_are_in_the_graph(bfloat16):
    assert casts_to_bfloat16(bfloat16)
    convolutions = [node for node in nodes(bfloat16) if "Conv2D" in node.op]
    assert convolutions
    assert {node.attr["T"].type for node in convolutions} == {tf.bfloat16.as_datatype_enum}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_input_and_output_are_float32_in_any_precision(model, precision, request):
    function = request.getfixturevalue(precision).get_concrete_function()
    [given] = function.inputs
    [features] = function.outputs
    assert given.dtype == features.dtype == tf.float32
    assert given.shape.as_list() == [None, SIDE, SIDE, 3]
    assert features.shape.as_list() == list(model.output_shape)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_frozen_graph_has_no_variables(model, precision, request):
    function = request.getfixturevalue(precision)
    concrete = function.get_concrete_function()
    assert not concrete.variables
    assert not concrete.graph.captures
    assert not [node.name for node in nodes(function) if "Variable" in node.op]
    assert model.weights  # which it would have


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_batch_may_have_any_size(precision, model, request):
    function = request.getfixturevalue(precision)
    batch = images(5)
    together = function(batch).numpy()
    alone = np.concatenate([function(batch[i : i + 1]) for i in range(5)])
    tolerance = (2e-2 if precision == "bfloat16" else 1e-5) * np.abs(together).max()
    np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance)
    assert together.shape == (5, *model.output_shape[1:])
    assert not np.allclose(together[0], together[4], rtol=0, atol=5 * tolerance)


def test_two_frozen_graphs_stand_in_one_function(model):
    one, two = freeze(model, "float32"), freeze(model, "bfloat16")
    difference = tf.function(lambda images: one(images) - two(images))(images(1))
    assert np.abs(difference).max() > 0


def test_a_frozen_graph_keeps_the_weights_it_was_frozen_with():
    model = build_model(pipeline_config("pictures", "data"))
    function = as_function(model, "float32")
    before = function(images(1)).numpy()
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    assert not np.any(model(images(1)))
    np.testing.assert_array_equal(function(images(1)), before)
