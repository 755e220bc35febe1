"""Resizing to a square, as a TensorFlow graph."""

import tensorflow as tf


def resize_image(image: tf.Tensor, side: int, resize: str, size: tf.Tensor) -> tf.Tensor:
    """An image as a square, antialiased: a triangle filter as wide as the reduction asks for.

    Args:
      image: [height, width, 3] of any numeric dtype, in [0, 255].
      side: of the result, pixels.
      resize: `stretch` changes the aspect ratio; `pad` keeps it and all of the image, with black
        at two sides; `crop` keeps it and fills the square, without what is over at two sides.
      size: float [2], height and width of what is shown, in pixels of `image`, whose last row and
        column may be parts of a pixel.

    Returns:
      float32 [side, side, 3], in [0, 255].
    """
    # Antialiased resizing costs as much as decoding: not where there is nothing to resize.
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == side),
        lambda: tf.cast(image, tf.float32),
        lambda: _scale(image, side, resize, size),
    )


def _scale(image: tf.Tensor, side: int, resize: str, size: tf.Tensor) -> tf.Tensor:
    scale = side / size
    if resize == "pad":  # at least a pixel of each side, or a thin image would vanish
        scale = tf.maximum(tf.reduce_min(scale), 1 / size)
    elif resize == "crop":
        scale = tf.reduce_max(scale) * tf.ones(2)
    # Both sides get the same part, also half a pixel, so that turning before or after is the same.
    translation = (side - scale * size) / 2
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[side, side],
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.clip_by_value(resized[0], 0.0, 255.0)  # weights add up to 1 but for rounding
