"""Dropout in all places of a captioner.

Masks depend on the seed of the run, the step and the place in the global batch alone: a resumed
run and any number of replicas draw the same ones. A byte is drawn for each number, so rates are
those nearest of a 256th.

Shape suffixes: B images, R regions, D feature depth, N captions, T time, P packed words.
"""

import tensorflow as tf

from tfrecords_schema.vocabulary import UNK
from trainer.layers.packing import PackedCaptions, places_of
from trainer.replicas.stateless_random import PLACES, Seed, random_bytes, uniform

_REGIONS, _INPUTS = PLACES - 4, PLACES - 5


def regions_kept(regions: int, rate: float) -> int:
    """How many of an image's regions `dropout_regions` keeps."""
    return max(1, round(regions * (1 - rate)))


def dropout_regions(features_BRD: tf.Tensor, rate: float, seed: Seed | None) -> tf.Tensor:
    """Leaves out regions, others of each image, as PatchDropout does (Liu et al. 2022,
    arXiv:2208.07220): the model sees fewer of them, so a step is faster too.

    Args:
      features_BRD: float32, with a static number of regions.
      rate: share of the regions that is left out, in [0, 1); one is always kept.
      seed: None turns dropout off.

    Returns:
      float32 [B, regions kept, D].
    """
    regions = features_BRD.shape[1]
    kept = regions_kept(regions, rate)
    if seed is None or kept == regions:
        return features_BRD
    drawn_BR = uniform(seed, _REGIONS, seed.image, tf.shape(features_BRD)[0], regions)
    return tf.gather(features_BRD, tf.math.top_k(drawn_BR, kept).indices, batch_dims=1)


def dropout_images(x: tf.Tensor, rate: float, seed: Seed | None, place: int) -> tf.Tensor:
    """Dropout on float32 [B, ...].

    Args:
      x: one row an image.
      rate: in [0, 1).
      seed: None turns dropout off.
      place: in the model, from 0; each place draws other masks. The last ones below
        `draws.PLACES` are not for models.
    """
    if seed is None or rate == 0:
        return x
    shape = tf.shape(x)
    drawn = random_bytes(seed, place, seed.image, shape[0], tf.reduce_prod(shape[1:]))
    return _drop(x, rate, tf.reshape(drawn, shape))


def dropout_words(
    x_PX: tf.Tensor, rate: float, seed: Seed | None, place: int, words: PackedCaptions
) -> tf.Tensor:
    """The same on packed words."""
    if seed is None or rate == 0:
        return x_PX
    captions, depth = tf.shape(words.caption_N)[0], tf.shape(x_PX)[1]
    drawn = random_bytes(seed, place, seed.caption, captions, seed.longest * depth)
    drawn = tf.reshape(drawn, [captions, seed.longest, depth])
    return _drop(x_PX, rate, tf.gather_nd(drawn, places_of(words)))


def dropout_inputs(words: PackedCaptions, rate: float, seed: Seed) -> PackedCaptions:
    """Hides whole words from the model, as <unk>, so that it must look at the image (Bowman et al.
    2016, arXiv:1511.06349, section 3.1).

    Args:
      words: of the batch.
      rate: share of the words before that are hidden, in [0, 1]; <start> never is.
      seed: of the step.
    """
    is_hidden = (uniform_words(seed, _INPUTS, words) < rate) & (words.time_P > 0)
    return words._replace(inputs_P=tf.where(is_hidden, UNK, words.inputs_P))


def dropout_weights(x: tf.Tensor, rate: float, seed: Seed | None, place: int) -> tf.Tensor:
    """DropConnect on a matrix of weights: one mask a step, for all images and words of the batch.

    On the recurrent weights of an LSTM it is that of Merity et al. 2018 (arXiv:1708.02182, section
    2), which leaves the memory as it is.
    """
    if seed is None or rate == 0:
        return x
    rows, columns = tf.unstack(tf.shape(x))
    return _drop(x, rate, random_bytes(seed, place, 0, rows, columns))


def uniform_words(seed: Seed, place: int, words: PackedCaptions) -> tf.Tensor:
    """float32 [P] in [0, 1); see `draws.uniform`."""
    captions = tf.shape(words.caption_N)[0]
    return tf.gather_nd(
        uniform(seed, place, seed.caption, captions, seed.longest), places_of(words)
    )


def _drop(x: tf.Tensor, rate: float, drawn: tf.Tensor) -> tf.Tensor:
    dropped = min(round(256 * rate), 255)
    is_kept = drawn >= tf.constant(dropped, tf.uint8)
    return x * (tf.cast(is_kept, tf.float32) * (256 / (256 - dropped)))
