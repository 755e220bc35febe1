"""The training objective: cross-entropy of the words, with label smoothing.

The sum over words is divided by the number of words in the *global* batch, so that the sum of the
replicas' gradients is the gradient of one device that had the whole batch, however the words fall
on the replicas. P packed words, V vocabulary.
"""

from typing import Any

import tensorflow as tf


def cross_entropy_sum(
    logits_PV: tf.Tensor, labels_P: tf.Tensor, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Sum over the words of the cross-entropy with the smoothed label, in nats.

    A smoothed label gives 1 - label_smoothing to the word and spreads the rest evenly over the
    vocabulary (Szegedy et al. 2016, section 7).

    Args:
      logits_PV: float32.
      labels_P: int32.
      label_smoothing: in [0, 1).

    Returns:
      Scalar float32; 0 where there are no words.
    """
    losses_P = tf.nn.sparse_softmax_cross_entropy_with_logits(labels_P, logits_PV)
    if label_smoothing:
        # -mean log p over the vocabulary, by way of the log partition function.
        even_P = tf.reduce_logsumexp(logits_PV, axis=-1) - tf.reduce_mean(logits_PV, axis=-1)
        losses_P = (1 - label_smoothing) * losses_P + label_smoothing * even_P
    return tf.reduce_sum(losses_P)


def sum_over_replicas(values: Any) -> Any:
    """The sum of a float32 tensor, or of each of a list, over all replicas, in each of them."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
