"""Resizes an image to a square, as a TensorFlow graph."""

import tensorflow as tf


def resize_image(image: tf.Tensor, side: int, resize: str, size: tf.Tensor) -> tf.Tensor:
    """Resizes an image to a square, antialiased by a triangle filter as wide as the reduction.

    Args:
      image: [height, width, 3] of any numeric dtype, in [0, 255].
      side: side of the result, pixels.
      resize: `stretch` changes the aspect ratio; `pad` keeps it and all of the image, with black
        at two sides; `crop` keeps it and fills the square, and cuts off two sides.
      size: float [2], height and width of the visible part, in pixels of `image`, whose last row
        and column may be parts of a pixel.

    Returns:
      float32 [side, side, 3], in [0, 255].
    """
    # Antialiased resizing costs as much as decoding, so it is skipped if the size is right.
    return tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == side),
        lambda: tf.cast(image, tf.float32),
        lambda: _scale(image, side, resize, size),
    )


def _scale(image: tf.Tensor, side: int, resize: str, size: tf.Tensor) -> tf.Tensor:
    scale = side / size
    if resize == "pad":  # at least a pixel on each side, or a thin image would vanish
        scale = tf.maximum(tf.reduce_min(scale), 1 / size)
    elif resize == "crop":
        scale = tf.reduce_max(scale) * tf.ones(2)
    # Both sides get the same margin, also half a pixel, so turning before or after is the same.
    translation = (side - scale * size) / 2
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[side, side],
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.clip_by_value(resized[0], 0.0, 255.0)  # weights sum to 1 up to rounding
