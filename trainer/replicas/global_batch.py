"""What a replica must know of the other replicas' parts of a batch.

Shape suffixes: B images, K captions an image, T tokens.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class GlobalBatch(NamedTuple):
    """A replica's part of a batch, and what all parts have together."""

    captions_BKT: tf.Tensor  # this part's, in the shape that holds those of every part
    images: tf.Tensor  # float32, that have captions, of all parts
    words: tf.Tensor  # float32, to be predicted, of all parts


def global_batch(captions_BKT: tf.Tensor) -> GlobalBatch:
    """The batch that this replica's captions are a part of.

    Workers that read shards of their own pad captions to the longest of theirs, and to the most an
    image of theirs has. Random numbers are drawn as if one device had all parts (see
    `trainer.replicas.stateless_random`), for which they must have one shape.

    Args:
      captions_BKT: int32, this replica's, each <start> ... <end> and 0 after it; a row of zeros is
        no caption, an image without captions is padding.
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
    """The sum of a float32 tensor, or of each of a list, over all replicas, in each of them."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
