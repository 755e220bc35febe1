"""The training objective: cross-entropy of the words.

The sum over words is divided by the number of words in the *global* batch, so that the sum of the
replicas' gradients is the gradient of one device that had the whole batch, however the words fall
on the replicas. P packed words, V vocabulary.
"""

import tensorflow as tf


def cross_entropy_sum(logits_PV: tf.Tensor, labels_P: tf.Tensor) -> tf.Tensor:
    """Sum over the words of -log p(label), in nats; scalar float32, 0 where there are no words."""
    losses_P = tf.nn.sparse_softmax_cross_entropy_with_logits(labels_P, logits_PV)
    return tf.reduce_sum(losses_P)
