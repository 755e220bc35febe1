"""LSTM and GRU: one step, and its gradient written out.

Both take the sums of what comes from the word and what comes from the state before, four parts of
H each, and carry a memory beside the output h: the LSTM its cell, the GRU its output again.

    LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000); parts i, f, g, o
        c = sigmoid(f) c' + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)
    GRU (Cho et al. 2014, with the reset after the product, as cuDNN has it); parts u, r, x, y,
        where x comes from the word alone and y from the state alone
        h = sigmoid(u) h' + (1 - sigmoid(u)) tanh(x + sigmoid(r) y)

The order of parts is that of the weights of Keras' layers.

Shape suffixes: n rows, H units, 4 = 4 H.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Cell(NamedTuple):
    """A step and its gradient."""

    forward: Callable
    """sums_n4, memory_nH -> h_nH, memory_nH, gates_n4 (what the gradient needs)."""
    gradient: Callable
    """dh_nH, dmemory_nH, gates_n4, memory before, memory after -> dsums_n4, d memory before."""


def _lstm(sums_n4, memory_nH):
    i, f, g, o = tf.split(sums_n4, 4, axis=1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    memory_nH = f * memory_nH + i * g
    return o * tf.tanh(memory_nH), memory_nH, tf.concat([i, f, g, o], 1)


def _lstm_gradient(dh_nH, dmemory_nH, gates_n4, before_nH, memory_nH):
    i, f, g, o = tf.split(gates_n4, 4, axis=1)
    tanh_nH = tf.tanh(memory_nH)
    d = dmemory_nH + dh_nH * o * (1 - tanh_nH * tanh_nH)
    dsums = [
        d * g * i * (1 - i),
        d * before_nH * f * (1 - f),
        d * i * (1 - g * g),
        dh_nH * tanh_nH * o * (1 - o),
    ]
    return tf.concat(dsums, 1), d * f


def _gru(sums_n4, memory_nH):
    u, r, x, y = tf.split(sums_n4, 4, axis=1)
    u, r = tf.sigmoid(u), tf.sigmoid(r)
    new = tf.tanh(x + r * y)
    h_nH = u * memory_nH + (1 - u) * new
    return h_nH, h_nH, tf.concat([u, r, new, y], 1)


def _gru_gradient(dh_nH, dmemory_nH, gates_n4, before_nH, memory_nH):
    u, r, new, y = tf.split(gates_n4, 4, axis=1)
    d = dh_nH + dmemory_nH
    dnew = d * (1 - u) * (1 - new * new)
    dsums = [d * (before_nH - new) * u * (1 - u), dnew * y * r * (1 - r), dnew, dnew * r]
    return tf.concat(dsums, 1), d * u


CELLS = {"lstm": Cell(_lstm, _lstm_gradient), "gru": Cell(_gru, _gru_gradient)}
