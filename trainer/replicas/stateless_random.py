"""Stateless random numbers of a training step, the same for any number of replicas.

All replicas use one stream a step, as if one device had the global batch, and each draws the
numbers of its own rows. Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
section 3.3) makes that cheap: adding to its counter moves a generator to any place of its stream,
so no numbers are drawn for the rows of other replicas.

Shape suffixes: B images, K captions an image, T tokens.
"""

from typing import Any, NamedTuple

import tensorflow as tf

PLACES = 64  # limit of places in a step that draw random numbers; each adds its number to the seed
_AT_ONCE = 4  # numbers that Philox computes for each value of its counter


class Seed(NamedTuple):
    """The seed of a step. Replicas differ only in where their rows begin."""

    key_2: tf.Tensor  # int32
    image: tf.Tensor  # int32, place in the global batch of this replica's first image
    caption: tf.Tensor  # int32, place in the global batch of this replica's first caption
    longest: tf.Tensor  # int32, words of the longest caption of the global batch


def replica_seed(seed: int, step: tf.Tensor, caption_ids_BKT: tf.Tensor) -> Seed:
    """The seed of a step in the calling replica.

    Args:
      seed: the seed of the run.
      step: integer, number of the step.
      caption_ids_BKT: this replica's part of the global batch; all parts have one shape.
    """
    context = tf.distribute.get_replica_context()
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    images, captions, tokens = tf.unstack(tf.shape(caption_ids_BKT))
    return Seed(
        key_2=tf.stack([seed, tf.cast(step, tf.int32) * PLACES]),
        image=replica * images,
        caption=replica * images * captions,
        longest=tokens - 1,
    )


def uniform(
    seed: Seed, place: int, first: tf.Tensor, rows: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Random float32 [rows, width] in [0, 1), for the rows of the global batch from row `first` on.

    Args:
      seed: the seed of the step.
      place: below PLACES; each place draws other numbers.
      first: int32, this replica's first row.
      rows: int32, number of rows.
      width: int32, numbers a row.
    """
    stream = _stream(seed, place, first, rows, -(-width // _AT_ONCE))
    return tf.raw_ops.StatelessRandomUniformV2(**stream, dtype=tf.float32)[:, :width]


def random_bytes(
    seed: Seed, place: int, first: tf.Tensor, rows: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    """Random uint8 [rows, width]; as `uniform`, at a quarter of the work."""
    stream = _stream(seed, place, first, rows, -(-width // (4 * _AT_ONCE)))
    numbers = tf.raw_ops.StatelessRandomUniformFullIntV2(**stream, dtype=tf.int32)
    return tf.reshape(tf.bitcast(numbers, tf.uint8), [rows, -1])[:, :width]


def _stream(
    seed: Seed, place: int, first: tf.Tensor, rows: tf.Tensor, counters: tf.Tensor
) -> dict[str, Any]:
    """The arguments of a random operation; each row takes `counters` values of the counter."""
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed.key_2 + [0, place])
    passed = tf.cast(first, tf.int64) * tf.cast(counters, tf.int64)
    return {
        "shape": tf.stack([rows, counters * _AT_ONCE]),
        "key": key,
        "counter": counter + tf.cast(tf.stack([passed, 0]), tf.uint64),
        "alg": tf.random.Algorithm.PHILOX.value,
    }
