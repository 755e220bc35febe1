"""Dropout of regions, units, words and weights.

Masks depend only on the seed of the run, the step and the place in the global batch: a resumed run
draws the same ones, and so does any number of replicas. A mask takes one random byte a number, so
rates are rounded to a multiple of 1/256.

Shape suffixes: B images, R regions, D feature depth, N captions, T time, P packed words.
"""

import tensorflow as tf

from tfrecords_schema.vocabulary import UNK
from trainer.layers.packing import PackedCaptions, places_of
from trainer.replicas.stateless_random import PLACES, Seed, random_bytes, uniform

_REGIONS, _INPUTS = PLACES - 4, PLACES - 5


def regions_kept(regions: int, rate: float) -> int:
    """The number of regions of an image that `dropout_regions` keeps."""
    return max(1, round(regions * (1 - rate)))


def dropout_regions(features_BRD: tf.Tensor, rate: float, seed: Seed | None) -> tf.Tensor:
    """Drops random regions of each image, as PatchDropout does (Liu et al. 2022, arXiv:2208.07220).
    The model sees fewer regions, so a step is faster too.

    Args:
      features_BRD: float32, with a static number of regions.
      rate: share of the regions that is dropped, in [0, 1); one is always kept.
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
    """Applies dropout to float32 [B, ...].

    Args:
      x: one row an image.
      rate: in [0, 1).
      seed: None turns dropout off.
      place: number of the mask in the model, from 0; each place draws another mask. The last ones
        below `stateless_random.PLACES` are not for models.
    """
    if seed is None or rate == 0:
        return x
    shape = tf.shape(x)
    drawn = random_bytes(seed, place, seed.image, shape[0], tf.reduce_prod(shape[1:]))
    return _drop(x, rate, tf.reshape(drawn, shape))


def dropout_words(
    x_PX: tf.Tensor, rate: float, seed: Seed | None, place: int, words: PackedCaptions
) -> tf.Tensor:
    """Applies dropout to packed words, as `dropout_images` does to images."""
    if seed is None or rate == 0:
        return x_PX
    captions, depth = tf.shape(words.caption_N)[0], tf.shape(x_PX)[1]
    drawn = random_bytes(seed, place, seed.caption, captions, seed.longest * depth)
    drawn = tf.reshape(drawn, [captions, seed.longest, depth])
    return _drop(x_PX, rate, tf.gather_nd(drawn, places_of(words)))


def dropout_inputs(words: PackedCaptions, rate: float, seed: Seed) -> PackedCaptions:
    """Replaces random input words by <unk>, so that the model must look at the image (Bowman et al.
    2016, arXiv:1511.06349, section 3.1).

    Args:
      words: the packed captions.
      rate: share of the input words that are replaced, in [0, 1]; <start> never is.
      seed: the seed of the step.
    """
    is_hidden = (uniform_words(seed, _INPUTS, words) < rate) & (words.time_P > 0)
    return words._replace(inputs_P=tf.where(is_hidden, UNK, words.inputs_P))


def dropout_weights(x: tf.Tensor, rate: float, seed: Seed | None, place: int) -> tf.Tensor:
    """DropConnect on a weight matrix, with one mask a step for all images and words of the batch.

    On the recurrent weights of an LSTM it is the one of Merity et al. 2018 (arXiv:1708.02182,
    section 2), which does not change the memory.
    """
    if seed is None or rate == 0:
        return x
    rows, columns = tf.unstack(tf.shape(x))
    return _drop(x, rate, random_bytes(seed, place, 0, rows, columns))


def uniform_words(seed: Seed, place: int, words: PackedCaptions) -> tf.Tensor:
    """float32 [P] in [0, 1), a random number a word; see `stateless_random.uniform`."""
    captions = tf.shape(words.caption_N)[0]
    return tf.gather_nd(
        uniform(seed, place, seed.caption, captions, seed.longest), places_of(words)
    )


def _drop(x: tf.Tensor, rate: float, drawn: tf.Tensor) -> tf.Tensor:
    dropped = min(round(256 * rate), 255)
    is_kept = drawn >= tf.constant(dropped, tf.uint8)
    return x * (tf.cast(is_kept, tf.float32) * (256 / (256 - dropped)))
