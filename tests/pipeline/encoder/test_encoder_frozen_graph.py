"""The frozen graph: the model's features, of weights that do not change, in float32 or bfloat16."""

import collections
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_configs import pipeline_config

from pipeline.encoder.encoder_model import build_model
from pipeline.encoder.frozen_graph import freeze

SIDE = 64


def images(count):
    """Noise of another strength in each image."""
    rng = np.random.default_rng(count)
    strength = np.linspace(80, 255, count)[:, None, None, None]
    return (rng.uniform(0, 1, (count, SIDE, SIDE, 3)) * strength).astype(np.float32)


def as_function(model, precision):
    signature = [tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="images")]
    return tf.function(freeze(model, precision), signature, autograph=False)


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


def test_a_graph_in_bfloat16_holds_its_casts(bfloat16):
    assert casts_to_bfloat16(bfloat16)
    convolutions = [node for node in nodes(bfloat16) if "Conv2D" in node.op]
    assert convolutions
    assert {node.attr["T"].type for node in convolutions} == {tf.bfloat16.as_datatype_enum}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_input_and_output_are_float32_in_any_precision(model, precision, request):
    function = request.getfixturevalue(precision).get_concrete_function()
    given = function.inputs[0]  # then the weights
    [features] = function.outputs
    assert given.dtype == features.dtype == tf.float32
    assert given.shape.as_list() == [None, SIDE, SIDE, 3]
    assert features.shape.as_list() == list(model.output_shape)


@pytest.mark.parametrize("precision, item", [("float32", 4), ("bfloat16", 2)])
def test_weights_are_variables_each_once_and_never_constants(model, precision, item, request):
    function = request.getfixturevalue(precision)
    constants = [node.attr["value"].tensor for node in nodes(function) if node.op == "Const"]
    assert max(each.ByteSize() for each in constants) < 500
    variables = function.get_concrete_function().variables
    held = sum(variable.shape.num_elements() * variable.dtype.size for variable in variables)
    count = sum(math.prod(weight.shape) for weight in model.weights)
    assert 0 < held <= count * item
    # What is folded away are the four numbers a channel of batch normalization, but for one.
    assert held > 0.95 * count * item


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_batch_normalization_is_left(model, precision, request):
    left = {node.op for node in nodes(request.getfixturevalue(precision))}
    assert not left & {"Rsqrt", "FusedBatchNormV3"}
    is_tiny = model.name == "tiny"
    assert ("Mul" in left) == is_tiny  # it scales its pixels so


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
    difference = tf.function(lambda images: one(images) - two(images), autograph=False)(images(1))
    assert np.abs(difference).max() > 0


def test_a_frozen_graph_keeps_the_weights_it_was_frozen_with():
    model = build_model(pipeline_config("pictures", "data"))
    function = as_function(model, "float32")
    before = function(images(1)).numpy()
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    assert not np.any(model(images(1)))
    np.testing.assert_array_equal(function(images(1)), before)


def layers_after(product, *steps):
    """A model of a convolution or matrix product and layers, all with random weights."""
    image = keras.Input((SIDE, SIDE, 3))
    output = product(image)
    for step in steps:
        output = step(output)
    model = keras.Model(image, output)
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(0.2, 2, value.shape) for value in model.get_weights()])
    return model


def operations(function):
    return collections.Counter(node.op for node in nodes(function))


@pytest.mark.parametrize(
    "product",
    [
        keras.layers.Conv2D(4, 3),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
    ],
    ids=lambda layer: layer.name,
)
@pytest.mark.parametrize("changes", [{}, {"scale": False}, {"center": False}])
def test_batch_normalization_is_folded_into_what_it_follows(product, changes):
    product = product.__class__.from_config(product.get_config())
    model = layers_after(product, keras.layers.BatchNormalization(**changes), keras.layers.ReLU())
    function = as_function(model, "float32")
    expected = model(images(2), training=False).numpy()
    assert expected.std() > 1
    np.testing.assert_allclose(function(images(2)), expected, rtol=1e-5, atol=1e-3)
    counts = operations(function)
    assert counts["BiasAdd"] == 1
    assert not {"Mul", "Rsqrt", "AddV2", "Sub"} & counts.keys()


def test_a_convolution_that_is_used_twice_is_not_folded():
    image = keras.Input((SIDE, SIDE, 3))
    convolved = keras.layers.Conv2D(4, 3)(image)
    normalized = keras.layers.BatchNormalization()(convolved)
    model = keras.Model(image, keras.layers.Add()([convolved, normalized]))
    rng = np.random.default_rng(6)
    model.set_weights([rng.uniform(0.2, 2, value.shape) for value in model.get_weights()])
    expected = model(images(2), training=False).numpy()
    function = as_function(model, "float32")
    np.testing.assert_allclose(function(images(2)), expected, rtol=1e-5, atol=1e-3)


def test_two_normalizations_of_one_convolution_are_folded_each_with_its_own_kernel():
    shared = keras.layers.Conv2D(4, 3)
    image = keras.Input((SIDE, SIDE, 3))
    parts = [keras.layers.BatchNormalization()(shared(x)) for x in (image, image[:, ::-1])]
    model = keras.Model(image, keras.layers.Concatenate()(parts))
    rng = np.random.default_rng(7)
    model.set_weights([rng.uniform(0.2, 2, value.shape) for value in model.get_weights()])
    expected = model(images(2), training=False).numpy()
    function = as_function(model, "float32")
    np.testing.assert_allclose(function(images(2)), expected, rtol=1e-5, atol=1e-3)
    assert operations(function)["BiasAdd"] == 2


class Scaled(keras.layers.Layer):
    """Weights that are used as no layer of Keras does."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(1, SIDE, SIDE, 1), name="scale")
        self.turn = self.add_weight(shape=(5, 3), name="turn")

    def call(self, images):
        mixed = tf.matmul(images * self.scale, self.turn, transpose_b=True)
        return tf.cond(tf.reduce_sum(self.turn) > 0, lambda: mixed + self.turn[0, 0], lambda: mixed)


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_a_layer_that_is_none_of_keras_has_its_features(precision, tolerance):
    model = layers_after(Scaled())
    expected = model(images(2), training=False).numpy()
    features = as_function(model, precision)(images(2)).numpy()
    assert np.abs(features - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("multiplier, compiled", [(1, 0), (2, 0), (0, 1)])
def test_a_convolution_with_a_group_a_channel_is_not_compiled(multiplier, compiled):
    channels = 6
    filters, groups = (channels * multiplier, channels) if multiplier else (4, 2)
    model = layers_after(
        keras.layers.Conv2D(channels, 1),
        keras.layers.Conv2D(filters, 3, groups=groups, padding="same"),
        keras.layers.BatchNormalization(),
    )
    function = as_function(model, "float32")
    counts = operations(function)
    assert counts["DepthwiseConv2dNative"] == 1 - compiled
    assert counts["StatefulPartitionedCall"] == compiled
    expected = model(images(2), training=False).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(function(images(2)) / scale, expected / scale, rtol=0, atol=1e-5)
