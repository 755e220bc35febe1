"""Cross-entropy with smoothed labels and a custom gradient. P packed words, V vocabulary."""

from collections.abc import Callable

import tensorflow as tf


def cross_entropy_sum(
    logits_PV: tf.Tensor, labels_P: tf.Tensor, label_smoothing: float = 0.0
) -> tf.Tensor:
    """The cross-entropy with smoothed labels, summed over the words, in nats.

    A smoothed label gives 1 - label_smoothing to the word and spreads the rest evenly over the
    vocabulary (Szegedy et al. 2016, section 7). With x the logits and y the word, its loss is

        log sum_v exp(x_v) - (1 - label_smoothing) x_y - label_smoothing mean_v x_v

    The logits are by far the largest tensor of a step. On a CPU TensorFlow's cross-entropy takes
    three times as long over them as its softmax, so the loss is computed from the softmax.

    Args:
      logits_PV: float32.
      labels_P: int32.
      label_smoothing: in [0, 1).

    Returns:
      Scalar float32; 0 where there are no words.
    """

    @tf.custom_gradient
    def sum_of(logits_PV: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        probabilities_PV = tf.nn.softmax(logits_PV)
        # The largest probability is at least 1 / V, so its logarithm is exact enough.
        largest_P = tf.reduce_max(probabilities_PV, axis=-1)
        log_sum_P = tf.reduce_max(logits_PV, axis=-1) - tf.math.log(largest_P)
        losses_P = log_sum_P - (1 - label_smoothing) * tf.gather(logits_PV, labels_P, batch_dims=1)
        if label_smoothing:
            losses_P -= label_smoothing * tf.reduce_mean(logits_PV, axis=-1)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            vocabulary = tf.cast(tf.shape(logits_PV)[1], tf.float32)
            places_P2 = tf.stack([tf.range(tf.shape(labels_P)[0]), labels_P], axis=1)
            shares_P = tf.fill(tf.shape(labels_P), upstream * (1 - label_smoothing))
            even_PV = probabilities_PV * upstream
            if label_smoothing:
                even_PV -= upstream * label_smoothing / vocabulary
            return tf.tensor_scatter_nd_sub(even_PV, places_P2, shares_P)

        return tf.reduce_sum(losses_P), gradient

    return sum_of(logits_PV)
