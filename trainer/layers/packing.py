"""Packed captions: the words of a batch without padding.

Training runs on packed captions. They are sorted by length, longest first, and step t computes only
the first n_t rows, those still running. The layers without recurrence (word embeddings, output
layer, loss) work on the P = sum of n_t words of the batch, in the order of time, then row. No
padding is multiplied.

Shape suffixes: B images, K captions an image, N = B K rows (captions), T time, P packed words,
V vocabulary, X anything.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class PackedCaptions(NamedTuple):
    """The words of a batch of captions, all int32."""

    inputs_P: tf.Tensor  # the previous word
    labels_P: tf.Tensor  # the word to predict
    row_P: tf.Tensor  # row of each word
    time_P: tf.Tensor  # its place in its caption, from 0
    rows_T: tf.Tensor  # rows running at each step, all above 0; never more than at the step before
    caption_N: tf.Tensor  # index of each row's caption among the batch's B K
    image_N: tf.Tensor  # index of each row's image among the batch's B


def pack_captions(caption_ids_BKT: tf.Tensor) -> PackedCaptions:
    """Packs captions, longest first, without their padding.

    Args:
      caption_ids_BKT: int32, K captions an image, each <start> ... <end> and 0 after it; a row of
        zeros is no caption.
    """
    captions_per_image = tf.shape(caption_ids_BKT)[1]
    ids_NT = tf.reshape(caption_ids_BKT, [-1, tf.shape(caption_ids_BKT)[2]])
    words_N = tf.maximum(tf.math.count_nonzero(ids_NT, axis=1, dtype=tf.int32) - 1, 0)
    order_N = tf.argsort(words_N, direction="DESCENDING", stable=True)
    ids_NT, words_N = tf.gather(ids_NT, order_N), tf.gather(words_N, order_N)
    running_TN = tf.range(tf.shape(ids_NT)[1] - 1)[:, None] < words_N[None, :]
    rows_T = tf.reduce_sum(tf.cast(running_TN, tf.int32), axis=1)
    position_P2 = tf.cast(tf.where(running_TN), tf.int32)
    return PackedCaptions(
        inputs_P=tf.boolean_mask(tf.transpose(ids_NT[:, :-1]), running_TN),
        labels_P=tf.boolean_mask(tf.transpose(ids_NT[:, 1:]), running_TN),
        row_P=position_P2[:, 1],
        time_P=position_P2[:, 0],
        rows_T=rows_T[: tf.reduce_max(words_N)],  # steps that are all padding have no rows
        caption_N=order_N,
        image_N=order_N // captions_per_image,
    )


def word_before(rows_T: tf.Tensor, row_P: tf.Tensor, time_P: tf.Tensor) -> tf.Tensor:
    """The index of the word before each word; a first word has any valid index."""
    starts_T = tf.cumsum(rows_T, exclusive=True)
    return tf.gather(starts_T, tf.maximum(time_P - 1, 0)) + row_P


def repeat_images(x_BX: tf.Tensor, words: PackedCaptions) -> tf.Tensor:
    """float32 x_BX [B, ...] to x_NX [N, ...]: the values of each row's image."""

    @tf.custom_gradient
    def repeat(x_BX: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dx_NX: tf.Tensor) -> tf.Tensor:
            # In the order of the batch the rows of an image are neighbours. This sum takes a third
            # of the time of a gather's gradient.
            dx_NX = tf.gather(dx_NX, tf.argsort(words.caption_N))
            shape = tf.shape(x_BX)
            return tf.reduce_sum(tf.reshape(dx_NX, tf.concat([shape[:1], [-1], shape[1:]], 0)), 1)

        return tf.gather(x_BX, words.image_N), gradient

    return repeat(x_BX)


def rows_by_image(x_NX: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """float32 x_NX [N, X] to x_BKX [B, K, X], where each image's K rows are neighbours."""
    captions_per_image = tf.shape(x_NX)[0] // tf.maximum(images, 1)
    return tf.reshape(x_NX, tf.stack([images, captions_per_image, x_NX.shape[1]]))


def rows_of_images(x_BX: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """float32 x_BX [B, X] to x_NX [N, X]: the values of each row's image, rows in batch order."""
    return tf.repeat(x_BX, rows // tf.maximum(tf.shape(x_BX)[0], 1), axis=0)


def unpack(x_PX: tf.Tensor, words: PackedCaptions) -> tf.Tensor:
    """x_NTX with rows in the order of the batch, and zeros where there is no word."""
    shape = tf.concat(
        [[tf.shape(words.caption_N)[0], tf.shape(words.rows_T)[0]], tf.shape(x_PX)[1:]], 0
    )
    x_NTX = tf.scatter_nd(places_of(words), x_PX, shape)
    return tf.ensure_shape(x_NTX, [None, None, *x_PX.shape[1:]])


def pack(x_NTX: tf.Tensor, words: PackedCaptions) -> tf.Tensor:
    """The inverse of `unpack`: x_PX."""
    return tf.gather_nd(x_NTX, places_of(words))


def places_of(words: PackedCaptions) -> tf.Tensor:
    """int32 [P, 2]: the caption of each word, in the order of the batch, and its place in it."""
    return tf.stack([tf.gather(words.caption_N, words.row_P), words.time_P], axis=1)
