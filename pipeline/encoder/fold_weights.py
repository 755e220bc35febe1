"""Folds batch normalization into the convolution before it, for fewer operations.

Scaling a convolution's output by a number for each channel and adding another equals a convolution
with the scaled kernel and a bias (Jacob et al. 2018, arXiv:1712.05877, section 3.2). The folding
works on the operations of a traced model, so that the nesting of layers does not matter.
"""

from collections.abc import Mapping, Set
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Operation -> the axes of its kernel that form the channels of its output.
_PRODUCTS = {"Conv2D": (3,), "DepthwiseConv2dNative": (2, 3), "MatMul": (1,)}


class Fold(NamedTuple):
    """A convolution or matrix product, and the channelwise steps after it."""

    product: tf.Operation
    steps: list[tf.Operation]  # each takes the output of the one before
    operands: list[tf.Tensor]  # the second operand of each step: one number, or one a channel

    def inputs(self) -> list[tf.Tensor]:
        """The product's kernel and the operands."""
        return [self.product.inputs[1], *self.operands]

    def channels(self) -> int:
        """The number of channels of the product's output."""
        return _channels(self.product)

    def compute(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The folded kernel, and the bias [channels].

        Args:
          values: the values of the product's kernel and the operands, by tensor name.
        """
        kernel = values[self.product.inputs[1].name]
        channels = _channels(self.product)
        scale, bias = np.ones(channels), np.zeros(channels)  # float64
        for step, operand in zip(self.steps, self.operands, strict=True):
            value = values[operand.name].astype(np.float64).reshape(-1)
            if step.type == "Mul":
                scale, bias = scale * value, bias * value
            elif step.type == "RealDiv":
                scale, bias = scale / value, bias / value
            else:
                bias = bias - value if step.type == "Sub" else bias + value
        scale = scale.reshape([kernel.shape[axis] for axis in _PRODUCTS[self.product.type]])
        return (kernel * scale).astype(kernel.dtype), bias.astype(kernel.dtype)


def find_folds(graph: tf.Graph, weights: Set[str]) -> list[Fold]:
    """The folds that are possible in the graph of a model.

    Args:
      graph: a graph without loops.
      weights: names of the tensors that depend on the model's weights alone.
    """
    products = [op for op in graph.get_operations() if _has_plain_kernel(op, weights)]
    folds = [_follow(product, weights) for product in products]
    # A bias without a scale needs no folding.
    return [fold for fold in folds if {step.type for step in fold.steps} & {"Mul", "RealDiv"}]


def _has_plain_kernel(op: tf.Operation, weights: Set[str]) -> bool:
    if op.type not in _PRODUCTS or op.inputs[1].name not in weights or op.control_inputs:
        return False
    if not op.inputs[1].shape.is_fully_defined():
        return False
    if op.type == "MatMul":
        return not (op.get_attr("transpose_a") or op.get_attr("transpose_b"))
    return op.get_attr("data_format") == b"NHWC"


def _follow(product: tf.Operation, weights: Set[str]) -> Fold:
    fold, output = Fold(product, [], []), product.outputs[0]
    while len(output.consumers()) == 1:
        [step] = output.consumers()
        operand = _operand(step, output, weights)
        if operand is None or step.control_inputs:
            break
        shape = operand.shape.as_list()
        is_one_a_channel = shape[-1:] in ([], [1], [_channels(product)]) and set(shape[:-1]) <= {1}
        if not is_one_a_channel or len(shape) > output.shape.rank:
            break
        fold.steps.append(step)
        fold.operands.append(operand)
        output = step.outputs[0]
    return fold


def _operand(step: tf.Operation, output: tf.Tensor, weights: Set[str]) -> tf.Tensor | None:
    """The weights that `step` combines `output` with; None if it is another kind of step."""
    names = [tensor.name for tensor in step.inputs]
    if step.type not in ("Mul", "Add", "AddV2", "Sub", "RealDiv", "BiasAdd"):
        return None
    if step.type == "BiasAdd" and step.get_attr("data_format") != b"NHWC":
        return None
    other = 1 - names.index(output.name)
    if other == 0 and step.type not in ("Mul", "Add", "AddV2"):
        return None
    operand = step.inputs[other]
    is_known = operand.name in weights and operand.shape.is_fully_defined()
    return operand if is_known else None


def _channels(product: tf.Operation) -> int:
    shape = product.inputs[1].shape
    return int(np.prod([shape[axis] for axis in _PRODUCTS[product.type]]))
