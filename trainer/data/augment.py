"""Pictures changed at random, so that they are not known by heart.

A picture is mirrored, cropped (Szegedy et al. 2015, arXiv:1409.4842, section 6, with the shape of
the picture kept) and given other colors (Howard 2013, arXiv:1312.5402, section 2). Each of these is
off unless asked for: captions say left and right, what was cut off, and colors.
"""

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.replicas.stateless_random import PLACES, Seed, uniform

_PLACE = PLACES - 3
_GREY = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, luma


def augment(pixels: tf.Tensor, config: TrainConfig, seed: Seed) -> tf.Tensor:
    """Pictures as the flags `flip`, `crop` and `color_jitter` say.

    Args:
      pixels: float32 [batch, height, width, 3] in [0, 255]; or features, which no flag is for.
      config: of the run.
      seed: of the step.

    Returns:
      Of the same shape and range; what is drawn is for the whole of a picture.
    """
    if not (config.flip or config.crop or config.color_jitter):
        return pixels
    drawn = uniform(seed, _PLACE, seed.image, tf.shape(pixels)[0], 7)
    side, top, left, is_flipped, *factors = tf.unstack(drawn, axis=1)
    if config.flip:
        pixels = tf.where((is_flipped < 0.5)[:, None, None, None], pixels[:, :, ::-1], pixels)
    if config.crop:
        pixels = crop_and_resize(pixels, 1 - config.crop * side, top, left)
    if config.color_jitter:
        pixels = change_colors(pixels, *(1 + config.color_jitter * (2 * f - 1) for f in factors))
    return pixels


def crop_and_resize(
    pixels: tf.Tensor, side: tf.Tensor, top: tf.Tensor, left: tf.Tensor
) -> tf.Tensor:
    """Of each picture a part, as large as the picture was, bilinear.

    Args:
      pixels: float32 [batch, height, width, 3].
      side: float32 [batch], share of both sides that is kept, above 0 and at most 1.
      top: float32 [batch], of what is cut off the share that is above, 0 to 1.
      left: likewise.
    """
    top, left = top * (1 - side), left * (1 - side)
    boxes = tf.stack([top, left, top + side, left + side], axis=1)
    size = pixels.shape[1:3]
    return tf.image.crop_and_resize(pixels, boxes, tf.range(tf.shape(pixels)[0]), size)


def change_colors(
    pixels: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor, saturation: tf.Tensor
) -> tf.Tensor:
    """Pictures with other brightness, then contrast, then saturation.

    Args:
      pixels: float32 [batch, height, width, 3] in [0, 255].
      brightness: float32 [batch], a factor; 1 changes nothing.
      contrast: likewise, of the distance from the picture's mean grey.
      saturation: likewise, of the distance from each pixel's grey.

    Returns:
      What falls out of [0, 255] is set to its ends.
    """
    brightness, contrast, saturation = (
        factor[:, None, None, None] for factor in (brightness, contrast, saturation)
    )
    pixels = tf.clip_by_value(pixels * brightness, 0, 255)
    mean = tf.reduce_mean(_grey(pixels), axis=[1, 2], keepdims=True)
    pixels = tf.clip_by_value(mean + contrast * (pixels - mean), 0, 255)
    grey = _grey(pixels)
    return tf.clip_by_value(grey + saturation * (pixels - grey), 0, 255)


def _grey(pixels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(pixels * _GREY, axis=-1, keepdims=True)
