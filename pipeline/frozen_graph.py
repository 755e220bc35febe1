"""A Keras model as a graph of constants, which TensorFlow runs faster than one of variables.

With constants TensorFlow's CPU kernels fold batch normalisation into the convolutions. The graph
can be turned to bfloat16 here too, by the rewriter that TensorFlow has for its CPU kernels: the
casts then are in the file, so that pipeline and export compute the same on any machine.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import (  # the public name is TF 1's
    convert_variables_to_constants_v2,
)
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

PRECISIONS = ("float32", "bfloat16")
_TO_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"


def freeze(model: keras.Model, precision: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """`model` as a function of TensorFlow operations without variables.

    Args:
      model: float32 [batch, ...] to float32 [batch, ...].
      precision: one of PRECISIONS. In bfloat16 convolutions and matrix products are computed;
        input and output stay float32.

    Returns:
      A function to be called within a `tf.function`.
    """
    call = tf.function(lambda images: model(images, training=False))
    images = tf.TensorSpec(model.input_shape, tf.float32, name="images")
    frozen = convert_variables_to_constants_v2(call.get_concrete_function(images))
    [given], [output] = frozen.inputs, frozen.outputs
    graph_def = frozen.graph.as_graph_def()
    if precision == "bfloat16":
        graph_def = _to_bfloat16(graph_def, frozen)

    def apply(images: tf.Tensor) -> tf.Tensor:
        [features] = tf.graph_util.import_graph_def(
            graph_def, {given.name: images}, [output.name], name=""
        )
        return tf.ensure_shape(features, model.output_shape)

    return apply


def _to_bfloat16(graph_def: tf.compat.v1.GraphDef, frozen: tf.Graph) -> tf.compat.v1.GraphDef:
    meta_graph = export_meta_graph(graph_def=graph_def, graph=frozen.graph)
    # The rewriter keeps what leads to a train_op.
    [output] = frozen.outputs
    meta_graph.collection_def["train_op"].node_list.value.append(output.name)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.append(_TO_BFLOAT16)
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.min_graph_nodes = -1  # also a small graph
    return tf_optimizer.OptimizeGraph(config, meta_graph)
