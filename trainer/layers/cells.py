"""LSTM and GRU: one step, and its gradient written out.

A step takes the input's part and the state's part of the gates. It carries a memory beside the
output h: the LSTM its cell state, the GRU its output again.

    LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000); i, f, g, o are sums of both parts
        c = sigmoid(f) c' + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)
    GRU (Cho et al. 2014, with the reset after the product, as in cuDNN); u and r are sums of both
        parts, x comes from the input alone and y from the state alone
        h = sigmoid(u) h' + (1 - sigmoid(u)) tanh(x + sigmoid(r) y)

The gates have the order of the weights of Keras' layers: i, f, g, o of both parts, or u, r, x of
the input and u, r, y of the state.

Shape suffixes: n rows, H units, G = 4 H in an LSTM and 3 H in a GRU, 4 = 4 H: i, f, g, o or
u, r, x, y.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Cell(NamedTuple):
    """A step of a recurrent cell, and its gradient."""

    forward: Callable
    """of_input_nG, of_state_nG, memory_nH -> h_nH, memory_nH, gates_n4 (for the gradient)."""
    gradient: Callable
    """dh_nH, dmemory_nH, gates_n4, memory before, memory after -> dgates_n4, d memory before;
    dgates_n4 is the gradient of the gates before their nonlinearities."""
    of_input: Callable
    """dgates_n4 -> the gradient of of_input_nG."""
    of_state: Callable
    """dgates_n4 -> the gradient of of_state_nG."""


def _lstm(of_input_nG, of_state_nG, memory_nH):
    i, f, g, o = tf.split(of_input_nG + of_state_nG, 4, axis=1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    memory_nH = f * memory_nH + i * g
    return o * tf.tanh(memory_nH), memory_nH, tf.concat([i, f, g, o], 1)


def _lstm_gradient(dh_nH, dmemory_nH, gates_n4, before_nH, memory_nH):
    i, f, g, o = tf.split(gates_n4, 4, axis=1)
    tanh_nH = tf.tanh(memory_nH)
    d = dmemory_nH + _tanh_gradient(tanh_nH, dh_nH * o)
    dgates = [
        sigmoid_gradient(i, d * g),
        sigmoid_gradient(f, d * before_nH),
        _tanh_gradient(g, d * i),
        sigmoid_gradient(o, dh_nH * tanh_nH),
    ]
    return tf.concat(dgates, 1), d * f


def _gru(of_input_nG, of_state_nG, memory_nH):
    u_x, r_x, x = tf.split(of_input_nG, 3, axis=1)
    u_y, r_y, y = tf.split(of_state_nG, 3, axis=1)
    u, r = tf.sigmoid(u_x + u_y), tf.sigmoid(r_x + r_y)
    new = tf.tanh(x + r * y)
    h_nH = new + u * (memory_nH - new)
    return h_nH, h_nH, tf.concat([u, r, new, y], 1)


def _gru_gradient(dh_nH, dmemory_nH, gates_n4, before_nH, memory_nH):
    u, r, new, y = tf.split(gates_n4, 4, axis=1)
    d = dh_nH + dmemory_nH
    dbefore = d * u
    dnew = _tanh_gradient(new, d - dbefore)
    du, dr = sigmoid_gradient(u, d * (before_nH - new)), sigmoid_gradient(r, dnew * y)
    return tf.concat([du, dr, dnew, dnew * r], 1), dbefore


def sigmoid_gradient(y: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """dy y (1 - y), the gradient of y = sigmoid(x), in one operation."""
    return tf.raw_ops.SigmoidGrad(y=y, dy=dy)


def _tanh_gradient(y, dy):
    return tf.raw_ops.TanhGrad(y=y, dy=dy)


def _gru_of_input(dgates_n4):
    return dgates_n4[:, : dgates_n4.shape[1] // 4 * 3]


def _gru_of_state(dgates_n4):
    units = dgates_n4.shape[1] // 4
    return tf.concat([dgates_n4[:, : 2 * units], dgates_n4[:, 3 * units :]], 1)


CELLS = {
    "lstm": Cell(_lstm, _lstm_gradient, tf.identity, tf.identity),
    "gru": Cell(_gru, _gru_gradient, _gru_of_input, _gru_of_state),
}
