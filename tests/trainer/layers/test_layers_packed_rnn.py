"""The packed recurrence, with its gradient written out, against the layers of Keras."""

import numpy as np
import pytest
import tensorflow as tf
from small_captioners import words_of

from trainer.layers import packed_rnn as module
from trainer.layers.packed_rnn import RnnState, fused_rnn, make_rnn, packed_rnn, rnn_step
from trainer.layers.packing import pack_captions

UNITS, DEPTH = 6, 5


def make(cell, rows, rng):
    layer = make_rnn(cell, UNITS, DEPTH, "rnn")
    for variable in layer.trainable_variables:  # also biases, which start at 0
        variable.assign(rng.standard_normal(variable.shape) * 0.5)
    h, memory = (tf.constant(rng.standard_normal((rows, UNITS)), tf.float32) for _ in range(2))
    return layer, RnnState(h, h if cell == "gru" else memory)


@pytest.mark.parametrize("rows_T", [[3, 3, 2, 1, 1], [1], [4, 4, 4], [5, 2]])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_outputs_and_gradients_are_those_of_keras(cell, rows_T, compiled):
    rng = np.random.default_rng(len(rows_T))
    layer, state = make(cell, rows_T[0], rng)
    inputs = tf.constant(rng.standard_normal((sum(rows_T), DEPTH)), tf.float32)
    scale = tf.constant(rng.standard_normal((sum(rows_T), UNITS)), tf.float32)
    words = words_of(rows_T)
    watched = [inputs, state.h_NH, *(v.value for v in layer.trainable_variables)]
    if cell == "lstm":
        watched.append(state.memory_NH)

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch(watched)
            h_PH = function(layer, inputs, state, words)
            loss = tf.reduce_sum(h_PH * scale)
        return h_PH, [tf.convert_to_tensor(g) for g in tape.gradient(loss, watched)]

    expected = run(fused_rnn)
    actual = (
        tf.function(lambda: run(packed_rnn), autograph=False)() if compiled else run(packed_rnn)
    )
    np.testing.assert_allclose(actual[0], expected[0], atol=1e-6)
    for got, want in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert np.abs(want).max() > 0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_captions_without_words_change_nothing(cell):
    layer, state = make(cell, 3, np.random.default_rng(0))
    ids = np.array([[[2, 5, 3], [0, 0, 0], [2, 3, 0]]], np.int32)
    words = pack_captions(tf.constant(ids))
    inputs = tf.random.stateless_normal([3, DEPTH], [1, 2])
    results = [f(layer, inputs, state, words) for f in (packed_rnn, fused_rnn)]
    np.testing.assert_allclose(*results, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_stepping_word_by_word_gives_the_outputs_of_the_packed_recurrence(cell):
    layer, state = make(cell, 2, np.random.default_rng(0))
    inputs = tf.random.stateless_normal([6, DEPTH], [1, 2])
    expected = packed_rnn(layer, inputs, state, words_of([2, 2, 2]))
    for time in range(3):
        state = rnn_step(layer, inputs[2 * time : 2 * time + 2], state)
        np.testing.assert_allclose(state.h_NH, expected[2 * time : 2 * time + 2], atol=1e-6)


def test_on_a_gpu_the_layer_of_keras_is_called(monkeypatch):
    layer, state = make("lstm", 2, np.random.default_rng(0))
    called = []
    monkeypatch.setattr(module, "fused_rnn", lambda *arguments: called.append(arguments))
    arguments = (layer, tf.zeros([2, DEPTH]), state, words_of([2]))
    packed_rnn(*arguments)
    assert not called
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    packed_rnn(*arguments)
    assert called
