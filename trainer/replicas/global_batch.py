"""The sizes of the global batch, which each replica needs for its own part.

Shape suffixes: B images, K captions an image, T tokens.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class GlobalBatch(NamedTuple):
    """A replica's part of a batch, and counts of the whole batch."""

    captions_BKT: tf.Tensor  # this part's captions, padded to the shape of the largest part
    images: tf.Tensor  # float32, number of images with captions in all parts
    words: tf.Tensor  # float32, number of words to predict in all parts


def global_batch(captions_BKT: tf.Tensor) -> GlobalBatch:
    """The global batch of which this replica has a part.

    Workers that read their own shards pad captions to their own longest caption and their own
    most captions an image. Random numbers are drawn as if one device had all parts, so all parts
    must have one shape (see `trainer.replicas.stateless_random`).

    Args:
      captions_BKT: int32, this replica's captions, each <start> ... <end> and then 0. A row of
        zeros is no caption; an image without captions is padding.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    has_captions_B = tf.reduce_any(captions_BKT > 0, axis=[1, 2])
    # Counted in float32: MirroredStrategy cannot reduce a list of int32.
    count = tf.math.count_nonzero
    images = count(has_captions_B, dtype=tf.float32)
    words = count(captions_BKT[:, :, 1:], dtype=tf.float32)
    shape_3 = tf.shape(captions_BKT)
    is_own_X1 = tf.one_hot([context.replica_id_in_sync_group], replicas, axis=0)
    shapes_X3 = is_own_X1 * tf.cast(shape_3, tf.float32)
    images, words, shapes_X3 = sum_over_replicas([images, words, shapes_X3])
    largest_3 = tf.cast(tf.reduce_max(shapes_X3, axis=0), tf.int32)
    padding = tf.stack([tf.zeros_like(shape_3), largest_3 - shape_3], axis=1)
    return GlobalBatch(tf.pad(captions_BKT, padding), images, words)


def sum_over_replicas(values: Any) -> Any:
    """The sum of a float32 tensor, or of each of a list, over all replicas, in every replica."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
