"""The hand-written gradient against automatic differentiation of the plain loop."""

import numpy as np
import pytest
import tensorflow as tf
from small_captioners import words_of

from trainer.layers.attention_rnn import Weights, attention_rnn, attention_step
from trainer.layers.cells import CELLS

REGIONS, ANNOTATION, ATTENTION, UNITS = 4, 5, 3, 6


def random_inputs(cell, rows_T, images, rng):
    n, p = rows_T[0], sum(rows_T)
    gates = {"lstm": 4, "gru": 3}[cell] * UNITS

    def draw(*shape):
        return tf.constant(rng.standard_normal(shape) * 0.5, tf.float32)

    return [
        draw(images, REGIONS, ANNOTATION),
        draw(n, REGIONS, ATTENTION),
        draw(n, UNITS),
        draw(n, UNITS),
        draw(p, gates),
        draw(UNITS, gates + ATTENTION + 1),
        draw(gates + ATTENTION + 1),
        draw(ATTENTION),
        draw(ANNOTATION, gates),
    ]


def plain_loop(cell, inputs, image_N, rows_T):
    annotations, keys, h, c, words, *weights = inputs
    annotations = tf.einsum("nb,brc->nrc", tf.one_hot(image_N, len(annotations)), annotations)
    outputs_h, outputs_z, start, seen = [], [], 0, tf.zeros([len(keys), REGIONS])
    for n in rows_T:
        x = words[start : start + n]

        def look(query_nA, n=n):
            return keys[:n] + query_nA[:, None]

        def weigh(alpha_nR, n=n):
            return tf.einsum("nr,nrc->nc", alpha_nR, annotations[:n])

        step = attention_step(cell, look, weigh, h[:n], c[:n], x, Weights(*weights))
        h, c, start = step.h_nH, step.memory_nH, start + n
        outputs_h.append(step.h_nH)
        outputs_z.append(step.z_nC)
        seen += tf.pad(step.alpha_nR, [[0, len(keys) - n], [0, 0]])
    return tf.concat(outputs_h, 0), tf.concat(outputs_z, 0), seen


@pytest.mark.parametrize(
    ("rows_T", "images"),
    [([3, 3, 2, 1, 1], 3), ([1], 1), ([4, 4, 4], 2), ([6, 2], 2), ([6, 5, 1], 3), ([5, 2], 1)],
)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients_are_those_of_the_plain_loop(name, rows_T, images, compiled):
    rng = np.random.default_rng(len(rows_T))
    caption_N = rng.permutation(rows_T[0]).astype(np.int32)
    image_N = caption_N // (rows_T[0] // images)
    cell = CELLS[name]
    words = words_of(rows_T)._replace(caption_N=tf.constant(caption_N))
    inputs = random_inputs(name, rows_T, images, rng)
    scale_h = tf.constant(rng.standard_normal((sum(rows_T), UNITS)), tf.float32)
    scale_seen = tf.constant(rng.standard_normal((rows_T[0], REGIONS)), tf.float32)
    scale_z = tf.constant(rng.standard_normal((sum(rows_T), ANNOTATION)), tf.float32)

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function()
            scaled = zip(outputs, (scale_h, scale_z, scale_seen), strict=True)
            loss = tf.add_n([tf.reduce_sum(x * scale) for x, scale in scaled])
        return outputs, tape.gradient(loss, inputs)

    def packed():
        return attention_rnn(cell, *inputs[:5], words, Weights(*inputs[5:]))

    expected = run(lambda: plain_loop(cell, inputs, image_N, rows_T))
    actual = tf.function(lambda: run(packed), autograph=False)() if compiled else run(packed)
    for got, want in zip(actual[0], expected[0], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
    for got, want in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert np.abs(want).max() > 0
