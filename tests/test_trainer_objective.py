import numpy as np
import pytest
import tensorflow as tf

from trainer.objective import cross_entropy_sum


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_it_is_the_cross_entropy_with_the_smoothed_label(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((6, 9)) * 3, rng.integers(0, 9, 6)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.full((6, 9), smoothing / 9)
    targets[np.arange(6), labels] += 1 - smoothing
    found = cross_entropy_sum(tf.constant(logits, tf.float32), tf.constant(labels), smoothing)
    np.testing.assert_allclose(found, -(targets * log_probs).sum(), rtol=1e-5)


def test_no_words_have_no_loss():
    assert float(cross_entropy_sum(tf.zeros([0, 9]), tf.zeros([0], tf.int32), 0.1)) == 0
