"""Stacked recurrent layers over words: the language model of a captioner."""

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.dropout import dropout_words
from trainer.layers.packed_rnn import RnnState, make_rnn, packed_rnn, rnn_step
from trainer.layers.packing import PackedCaptions
from trainer.replicas.stateless_random import Seed


def make_stack(config: ModelConfig, layers: int, inputs: int) -> list[keras.layers.RNN]:
    """`layers` layers of `config.units` cells, the first over vectors of depth `inputs`."""
    return [
        make_rnn(config.cell, config.units, config.units if number else inputs, f"rnn_{number}")
        for number in range(layers)
    ]


def zero_state(stack: list[keras.layers.RNN], rows: tf.Tensor) -> list[RnnState]:
    """The initial state, all zeros."""
    return [RnnState(*[tf.zeros([rows, layer.units])] * 2) for layer in stack]


def split_states(config: ModelConfig, x: tf.Tensor) -> list[RnnState]:
    """The states of all layers, split from one tensor, float32 [rows, 2 * layers * units]."""
    parts = tf.split(x, 2 * config.layers, axis=-1)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [RnnState(h, h if config.cell == "gru" else memory) for h, memory in pairs]


def stack_step(
    stack: list[keras.layers.RNN], x_NI: tf.Tensor, state: list[RnnState]
) -> tuple[tf.Tensor, list[RnnState]]:
    """One step: h_NH of the last layer, and the next state."""
    states = []
    for layer, before in zip(stack, state, strict=True):
        states.append(rnn_step(layer, x_NI, before))
        x_NI = states[-1].h_NH
    return x_NI, states


def packed_stack(
    stack: list[keras.layers.RNN],
    x_PI: tf.Tensor,
    state: list[RnnState],
    words: PackedCaptions,
    rate: float,
    seed: Seed | None,
    place: int,
) -> tf.Tensor:
    """Runs the layers over all words: h_PH of the last layer.

    Args:
      stack: the result of `make_stack`.
      x_PI: the inputs of the first layer.
      state: the state before the first word; rows as in `words`.
      words: the packed captions.
      rate: dropout rate between layers.
      seed: seed of the dropout; None turns it off.
      place: the dropout place of the stack; layer i uses place + i.
    """
    for number, (layer, before) in enumerate(zip(stack, state, strict=True)):
        if number:
            x_PI = dropout_words(x_PI, rate, seed, place + number, words)
        x_PI = packed_rnn(layer, x_PI, before, words)
    return x_PI
