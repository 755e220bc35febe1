"""Separates the weights of a traced model from its operations, with batch normalization folded.

Everything that depends on weights alone is computed once, here. The weights of the remaining graph
are placeholders, so it is small for any model, and cheap to optimize and copy.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.encoder.fold_weights import Fold, find_folds

# Operations whose outputs do not depend on their inputs alone.
_NOT_VALUES = {"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"}
_PLACEHOLDER = "beamcap_weights/{}"


class Apart(NamedTuple):
    """A graph without weights, and its weights."""

    graph_def: tf.compat.v1.GraphDef
    weights: dict[str, tf.Tensor]  # name of the placeholder -> value


def take_weights_apart(
    graph_def: tf.compat.v1.GraphDef, captures: Mapping[str, tf.Tensor], output: str
) -> Apart:
    """Takes the weights out of a graph.

    Args:
      graph_def: the graph of a model.
      captures: name of a placeholder -> handle of a variable, or a value.
      output: name of the output node.

    Returns:
      The graph that computes `output`. It keeps a placeholder of `captures` if an operation takes
      the variable itself.
    """
    made = tf.compat.v1.GraphDef()
    made.CopyFrom(graph_def)
    leaves = _place_leaves(made, captures)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(made, name=""), [])
    known, wanted = _known(wrapped.graph, leaves)
    folds = find_folds(wrapped.graph, known)

    nodes = {node.name: node for node in made.node}
    placeholders: dict[str, str] = {}  # name of a tensor -> its placeholder

    def place(tensor: str, dtype: tf.DType, shape: tf.TensorShape) -> str:
        if tensor not in placeholders:
            placeholders[tensor] = _PLACEHOLDER.format(len(placeholders))
            _make_placeholder(made.node.add(name=placeholders[tensor]), dtype, shape)
        return placeholders[tensor]

    for op, i in wanted:
        tensor = op.inputs[i]
        nodes[op.name].input[i] = place(tensor.name, tensor.dtype, tensor.shape)
    for fold in folds:
        kernel, product = fold.product.inputs[1], fold.product.name
        nodes[product].input[1] = place(f"{product}/kernel", kernel.dtype, kernel.shape)
        bias = place(f"{product}/bias", kernel.dtype, tf.TensorShape([fold.channels()]))
        _make_bias_add(nodes[fold.steps[-1].name], product, bias)
    made = _leading_to(made, output)
    used = {node.name for node in made.node}
    placeholders = {tensor: name for tensor, name in placeholders.items() if name in used}
    values = _evaluate(wrapped, leaves, placeholders, folds)
    return Apart(made, {name: values[tensor] for tensor, name in placeholders.items()})


def _place_leaves(
    graph_def: tf.compat.v1.GraphDef, captures: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Turns operations that read variables into placeholders. Maps all leaf tensors to values."""
    leaves = {}
    for node in graph_def.node:
        if node.op == "ReadVariableOp" and node.input[0] in captures:
            dtype = tf.as_dtype(node.attr["dtype"].type)
            value = tf.raw_ops.ReadVariableOp(resource=captures[node.input[0]], dtype=dtype)
            _make_placeholder(node, dtype, value.shape)
        elif node.name in captures and captures[node.name].dtype != tf.resource:
            value = captures[node.name]
        else:
            continue
        leaves[f"{node.name}:0"] = value
    waits = {f"^{name.removesuffix(':0')}" for name in leaves}  # control inputs of functions
    for node in graph_def.node:
        inputs = [name for name in node.input if name not in waits]
        del node.input[:]
        node.input.extend(inputs)
    return leaves


def _known(
    graph: tf.Graph, leaves: Mapping[str, tf.Tensor]
) -> tuple[set[str], list[tuple[tf.Operation, int]]]:
    """Finds tensors that depend only on constants and leaves (weights), and where others use them.

    Returns:
      The names of these tensors, and the inputs of other operations that depend on a leaf.
    """
    known, depending = set(leaves), set(leaves)
    wanted = []
    for op in graph.get_operations():  # in topological order
        names = [tensor.name for tensor in op.inputs]
        if {tensor.name for tensor in op.outputs} <= leaves.keys():
            continue
        if op.type == "Const" or (known.issuperset(names) and _is_value(op)):
            known.update(tensor.name for tensor in op.outputs)
            if not depending.isdisjoint(names):
                depending.update(tensor.name for tensor in op.outputs)
        else:
            wanted += [(op, i) for i, name in enumerate(names) if name in depending]
    return known, wanted


def _is_value(op: tf.Operation) -> bool:
    """Whether a constant can replace the operation without being larger than its inputs."""
    if op.op_def.is_stateful or op.type in _NOT_VALUES or op.control_inputs or not op.inputs:
        return False
    if not all(t.shape.is_fully_defined() for t in (*op.inputs, *op.outputs)):
        return False
    return sum(map(_size, op.outputs)) <= sum(map(_size, op.inputs))


def _size(tensor: tf.Tensor) -> int:
    return int(np.prod(tensor.shape.as_list(), dtype=np.int64))


def _leading_to(graph_def: tf.compat.v1.GraphDef, output: str) -> tf.compat.v1.GraphDef:
    """The nodes that `output` needs, and itself."""
    inputs = {node.name: node.input for node in graph_def.node}
    needed: set[str] = set()
    found = [output]
    while found:
        name = found.pop()
        if name not in needed:
            needed.add(name)
            found += [each.removeprefix("^").partition(":")[0] for each in inputs[name]]
    kept = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    kept.node.extend(node for node in graph_def.node if node.name in needed)
    return kept


def _make_placeholder(node: tf.compat.v1.NodeDef, dtype: tf.DType, shape: tf.TensorShape) -> None:
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(shape.as_proto())


def _make_bias_add(node: tf.compat.v1.NodeDef, product: str, bias: str) -> None:
    dtype = node.attr["T"].type
    node.op = "BiasAdd"
    del node.input[:]
    node.input.extend([product, bias])
    node.attr.clear()
    node.attr["T"].type = dtype
    node.attr["data_format"].s = b"NHWC"


def _evaluate(
    wrapped: Any,
    leaves: Mapping[str, tf.Tensor],
    wanted: Mapping[str, str],
    folds: list[Fold],
) -> dict[str, tf.Tensor]:
    """The values of tensors; the value of a leaf is shared, not copied.

    Args:
      wrapped: the graph, a result of `tf.compat.v1.wrap_function`.
      leaves: tensor -> value.
      wanted: names of tensors, and of the kernels and biases of folds.
      folds: the possible folds.
    """
    folds = [fold for fold in folds if f"{fold.product.name}/kernel" in wanted]
    parts = {tensor.name for fold in folds for tensor in fold.inputs()}
    graph_tensors = [name for name in {*wanted, *parts} - leaves.keys() if ":" in name]
    evaluate = wrapped.prune(
        [wrapped.graph.get_tensor_by_name(name) for name in leaves],
        [wrapped.graph.get_tensor_by_name(name) for name in graph_tensors],
    )
    values = {**leaves, **dict(zip(graph_tensors, evaluate(*leaves.values()), strict=True))}
    for fold in folds:
        numbers = {tensor.name: values[tensor.name].numpy() for tensor in fold.inputs()}
        kernel, bias = fold.compute(numbers)
        values[f"{fold.product.name}/kernel"] = tf.constant(kernel)
        values[f"{fold.product.name}/bias"] = tf.constant(bias)
    return values
