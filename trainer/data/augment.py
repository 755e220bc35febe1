"""Random changes of training pictures (data augmentation), so that the model overfits less.

A picture is mirrored, cropped (Szegedy et al. 2015, arXiv:1409.4842, section 6, but with the aspect
ratio kept) and changed in color (Howard 2013, arXiv:1312.5402, section 2). Each of these is off by
default: captions mention left and right, colors, and things that a crop removes.
"""

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.replicas.stateless_random import PLACES, Seed, uniform

_PLACE = PLACES - 3
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue: ITU-R BT.601, luma


def augment(pixels: tf.Tensor, config: TrainConfig, seed: Seed) -> tf.Tensor:
    """Changes pictures as the flags `flip`, `crop` and `color_jitter` say.

    Args:
      pixels: float32 [batch, height, width, 3] in [0, 255]; or features, which no flag changes.
      config: the configuration of the run.
      seed: the seed of the step.

    Returns:
      Pictures of the same shape and range. All pixels of a picture have the same random factors.
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
    """Crops a part of each picture and resizes it to the picture's size, bilinear.

    Args:
      pixels: float32 [batch, height, width, 3].
      side: float32 [batch], share of both sides that is kept, above 0 and at most 1.
      top: float32 [batch], share of the cut-off height that is above the crop, 0 to 1.
      left: float32 [batch], share of the cut-off width that is left of the crop, 0 to 1.
    """
    top, left = top * (1 - side), left * (1 - side)
    boxes = tf.stack([top, left, top + side, left + side], axis=1)
    size = pixels.shape[1:3]
    return tf.image.crop_and_resize(pixels, boxes, tf.range(tf.shape(pixels)[0]), size)


def change_colors(
    pixels: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor, saturation: tf.Tensor
) -> tf.Tensor:
    """Changes the brightness, then the contrast, then the saturation of pictures.

    Args:
      pixels: float32 [batch, height, width, 3] in [0, 255].
      brightness: float32 [batch], a factor; 1 changes nothing.
      contrast: float32 [batch], a factor of the distance from the picture's mean grey.
      saturation: float32 [batch], a factor of the distance from each pixel's grey.

    Returns:
      The pictures, clipped to [0, 255].
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
