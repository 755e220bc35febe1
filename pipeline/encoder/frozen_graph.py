"""Freezes a Keras model into one function of images, with few operations and little memory.

Batch normalization is folded into the convolutions. TensorFlow itself folds it only if the weights
are constants of the graph. Here they are variables, since TensorFlow copies a graph, with all its
constants, some twenty times while it loads and optimizes it.

The graph can be converted to bfloat16 here too, by TensorFlow's own graph optimizer for its CPU
kernels. The casts are then saved, so that pipeline and export compute the same on any machine. A
weight that is only used in bfloat16 is stored in it.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

from pipeline.encoder.depthwise_convolution import use_depthwise_convolutions
from pipeline.encoder.round_weights import round_to_bfloat16
from pipeline.encoder.weights_apart import take_weights_apart

_INLINE = "function"  # names of graph optimizers
_GRADIENT = "_gradient_op_type"
_LOWERED = "_lower_using_switch_merge"
_TO_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"


class FrozenModel(tf.Module):
    """A graph and its weights; `freeze` makes it."""

    def __init__(
        self,
        graph_def: tf.compat.v1.GraphDef,
        images: str,
        output: tf.TensorSpec,
        weights: Mapping[str, tf.Tensor],
        variables: Mapping[str, tf.Variable],
    ):
        """Makes variables from the weights.

        Args:
          graph_def: a graph of operations without weights.
          images: name of the placeholder of the images.
          output: name and shape of the output.
          weights: placeholder -> value.
          variables: placeholder -> variable, if an operation takes the variable itself.
        """
        super().__init__(name="frozen_model")
        self._graph_def, self._images, self._output = graph_def, images, output
        self._placeholders = [*weights, *variables]
        self._weights = [tf.Variable(value, trainable=False) for value in weights.values()]
        self._variables = list(variables.values())

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Features of images, float32 [batch, ...]; call it within a `tf.function`."""
        graph = tf.compat.v1.get_default_graph()
        values = [weight.read_value() for weight in self._weights]
        handles = [graph.capture(variable.handle) for variable in self._variables]
        given = dict(zip(self._placeholders, values + handles, strict=True))
        [features] = tf.graph_util.import_graph_def(
            self._graph_def, {self._images: images, **given}, [self._output.name], name=""
        )
        return tf.ensure_shape(features, self._output.shape)


def freeze(model: keras.Model, precision: str) -> FrozenModel:
    """Copies `model` into a function that later changes of the model do not affect.

    Args:
      model: float32 [batch, ...] to float32 [batch, ...].
      precision: one of `pipeline.config.PRECISIONS`, for convolutions and matrix products. Input
        and output stay float32.
    """
    call = tf.function(lambda images: model(images, training=False))
    traced = call.get_concrete_function(tf.TensorSpec(model.input_shape, tf.float32, name="images"))
    graph = traced.graph
    [images], [output] = traced.inputs[:1], traced.outputs
    captures = {inner.op.name: outer for outer, inner in graph.captures}
    graph_def = use_depthwise_convolutions(graph)
    _keep_branches_whole(graph_def)
    graph_def = _rewrite(graph, graph_def, [images.name, output.name], _INLINE)
    _drop_gradients(graph_def)
    graph_def, weights = take_weights_apart(graph_def, captures, output.op.name)
    if precision == "bfloat16":
        graph_def = _rewrite(graph, graph_def, [images.name, output.name], _TO_BFLOAT16)
        weights = _in_bfloat16(graph_def, weights)
    of_handle = {id(variable.handle): variable for variable in graph.variables}
    asked = [node.name for node in graph_def.node if node.name in captures]
    variables = {name: of_handle[id(captures[name])] for name in asked}
    spec = tf.TensorSpec(model.output_shape, output.dtype, name=output.name)
    return FrozenModel(graph_def, images.op.name, spec, weights, variables)


def _keep_branches_whole(graph_def: tf.compat.v1.GraphDef) -> None:
    """Keeps conditions and loops as single operations: lowered ones cannot be traced again."""
    functions = [node for each in graph_def.library.function for node in each.node_def]
    for node in [*graph_def.node, *functions]:
        if _LOWERED in node.attr:
            node.attr[_LOWERED].b = False


def _drop_gradients(graph_def: tf.compat.v1.GraphDef) -> None:
    """Removes custom gradients of layers, such as swish's, which cannot be saved."""
    functions = [node for each in graph_def.library.function for node in each.node_def]
    for node in [*graph_def.node, *functions]:
        node.attr.pop(_GRADIENT, None)
    # The result of such a function passes an IdentityN, which would prevent operator fusion.
    passed: dict[str, str] = {}
    for node in graph_def.node:
        if node.op == "IdentityN":
            passed |= {f"{node.name}:{i}": given for i, given in enumerate(node.input)}
            passed[node.name] = node.input[0]
    for node in graph_def.node:
        for i, name in enumerate(node.input):
            while name in passed:
                name = passed[name]
            node.input[i] = name


def _rewrite(
    graph: tf.Graph, graph_def: tf.compat.v1.GraphDef, keep: list[str], rewriter: str
) -> tf.compat.v1.GraphDef:
    meta_graph = export_meta_graph(graph_def=graph_def, graph=graph)
    meta_graph.collection_def.clear()  # of variables, whose initializers it would search for
    # The optimizer keeps the nodes that a train_op needs.
    meta_graph.collection_def["train_op"].node_list.value.extend(keep)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.append(rewriter)
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.min_graph_nodes = -1  # no minimum, for small graphs
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _in_bfloat16(
    graph_def: tf.compat.v1.GraphDef, weights: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Casts the weights that are only used in bfloat16, in the graph and in the result."""
    consumers: dict[str, list[tf.compat.v1.NodeDef]] = {name: [] for name in weights}
    for node in graph_def.node:
        for name in {name.partition(":")[0] for name in node.input} & weights.keys():
            consumers[name].append(node)
    cast = dict(weights)
    for placeholder in [node for node in graph_def.node if node.name in weights]:
        users = consumers[placeholder.name]
        if all(_is_cast(node) for node in users):
            value = round_to_bfloat16(weights[placeholder.name].numpy())
            cast[placeholder.name] = tf.constant(value)
            placeholder.attr["dtype"].type = tf.bfloat16.as_datatype_enum
            for node in users:
                node.op = "Identity"
                node.attr.clear()
                node.attr["T"].type = tf.bfloat16.as_datatype_enum
    return cast


def _is_cast(node: tf.compat.v1.NodeDef) -> bool:
    return node.op == "Cast" and node.attr["DstT"].type == tf.bfloat16.as_datatype_enum
