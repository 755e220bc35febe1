"""Replaces grouped convolutions that Keras compiles with XLA by depthwise convolutions.

TensorFlow's Conv2D has no groups on CPU, so Keras compiles a grouped convolution with XLA, which is
several times slower, and compiles again in each process. With one group a channel, as in ConvNeXt,
TensorFlow has its own operation, DepthwiseConv2dNative.
"""

from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

_COMPILED = "_XlaMustCompile"


class _Convolution(NamedTuple):
    """A function that consists of one convolution."""

    node: NodeDef
    image: int  # number of the argument
    kernel: int  # number of the argument; it is a variable


def use_depthwise_convolutions(graph: tf.Graph) -> tf.compat.v1.GraphDef:
    """The graph of a traced model, with its compiled depthwise convolutions replaced."""
    graph_def = graph.as_graph_def()
    functions = {function.signature.name: function for function in graph_def.library.function}
    variables = {id(variable.handle): variable for variable in graph.variables}
    shapes = {
        inner.name: variables[id(outer)].shape
        for outer, inner in graph.captures
        if id(outer) in variables
    }
    for node in list(graph_def.node):
        if _COMPILED not in node.attr:  # reading a missing attribute would create it
            continue
        convolution = _read_function(functions[node.attr["f"].func.name])
        if convolution is not None:
            inputs = graph.get_operation_by_name(node.name).inputs
            kernel = shapes.get(inputs[convolution.kernel].name)
            channels = inputs[convolution.image].shape[-1]
            if kernel is not None and channels and kernel[2] == 1 and kernel[3] % channels == 0:
                shape = [*kernel[:2], channels, kernel[3] // channels]
                _replace(graph_def, node, convolution, shape)
    return graph_def


def _read_function(function: FunctionDef) -> _Convolution | None:
    """The convolution of a function; None if it does more, or has unsupported attributes."""
    body = {node.name: node for node in function.node_def}
    arguments = [argument.name for argument in function.signature.input_arg]
    found = [
        node for node in body.values() if node.op not in ("ReadVariableOp", "Identity", "NoOp")
    ]
    if len(found) != 1 or found[0].op != "Conv2D":
        return None
    [node] = found
    image, kernel = (name.partition(":")[0] for name in node.input[:2])
    kernel = body[kernel].input[0] if kernel in body else kernel
    strides, dilations = (list(node.attr[name].list.i) for name in ("strides", "dilations"))
    if (
        not {image, kernel} <= set(arguments)
        or node.attr["data_format"].s != b"NHWC"
        or node.attr["padding"].s not in (b"SAME", b"VALID")
        or strides[1] != strides[2]
        or set(dilations) != {1}
    ):
        return None
    return _Convolution(node, arguments.index(image), arguments.index(kernel))


def _replace(
    graph_def: tf.compat.v1.GraphDef, call: NodeDef, convolution: _Convolution, shape: list[int]
) -> None:
    image, variable = call.input[convolution.image], call.input[convolution.kernel]
    dtype = convolution.node.attr["T"].type
    read = graph_def.node.add(op="ReadVariableOp", name=f"{call.name}/read", input=[variable])
    read.attr["dtype"].type = dtype
    sizes = graph_def.node.add(op="Const", name=f"{call.name}/shape")
    sizes.attr["dtype"].type = tf.int32.as_datatype_enum
    sizes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shape, tf.int32))
    kernel = graph_def.node.add(op="Reshape", name=f"{call.name}/kernel")
    kernel.input.extend([read.name, sizes.name])
    kernel.attr["T"].type = dtype
    kernel.attr["Tshape"].type = tf.int32.as_datatype_enum
    call.op = "DepthwiseConv2dNative"
    del call.input[:]
    call.input.extend([image, kernel.name])
    call.attr.clear()
    for name in ("T", "strides", "padding", "dilations", "data_format"):
        call.attr[name].CopyFrom(convolution.node.attr[name])
