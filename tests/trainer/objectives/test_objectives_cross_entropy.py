import numpy as np
import pytest
import tensorflow as tf

from trainer.layers.smoothed_cross_entropy import cross_entropy_sum
from trainer.objectives.cross_entropy import doubly_stochastic_sum


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_the_cross_entropy_with_the_smoothed_label(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((6, 9)) * 3, rng.integers(0, 9, 6)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.full((6, 9), smoothing / 9)
    targets[np.arange(6), labels] += 1 - smoothing
    found = cross_entropy_sum(tf.constant(logits, tf.float32), tf.constant(labels), smoothing)
    np.testing.assert_allclose(found, -(targets * log_probs).sum(), rtol=1e-5)


def test_the_loss_of_no_words_is_0():
    assert float(cross_entropy_sum(tf.zeros([0, 9]), tf.zeros([0], tf.int32), 0.1)) == 0


def plain(logits, labels, smoothing):
    """The formula, for automatic differentiation."""
    targets = tf.one_hot(labels, 9) * (1 - smoothing) + smoothing / 9
    return -tf.reduce_sum(targets * tf.nn.log_softmax(logits))


@pytest.mark.parametrize("scale", [0.1, 3, 300])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_of_the_loss_is_that_of_the_formula_also_for_extreme_logits(smoothing, scale):
    logits = tf.random.stateless_normal([6, 9], [1, 2]) * scale
    labels = tf.constant([0, 8, 3, 3, 5, 1])
    found = []
    for function in (cross_entropy_sum, plain):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = function(logits, labels, smoothing) * 0.25
        found.append((loss, tape.gradient(loss, logits)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


def test_doubly_stochastic_attention_sees_each_region_once():
    rows_T = tf.constant([2, 1])  # the third row has no words
    seen_NR = tf.constant([[1.5, 0.5], [1.0, 0.0], [0.0, 0.0]])
    assert float(doubly_stochastic_sum(seen_NR, rows_T)) == 0.25 + 0.25 + 0 + 1
    assert float(doubly_stochastic_sum(seen_NR, rows_T[:0])) == 0
