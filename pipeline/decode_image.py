"""Image bytes to a square float image, as a TensorFlow graph.

It is a graph, and not Pillow in Python, because the very same operations stand in the exported
model: what training saw is what serving sees.

JPEG (grey, RGB and CMYK), PNG and BMP are read. Transparent PNG pixels are laid over white, as a
browser shows them. The size is read from the header before anything is decoded, so that a small
file that unfolds to gigabytes costs nothing. GIF is refused: TensorFlow unfolds all its frames, at
sizes that its header does not tell.
"""

import tensorflow as tf

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 50_000_000  # 150 MB decoded; the largest phone cameras have about this


def decode_image(image_bytes: tf.Tensor, side: int, max_pixels: int) -> tf.Tensor:
    """Decodes and resizes one image.

    Args:
      image_bytes: scalar string, an encoded image.
      side: of the result, pixels. The image is stretched to it, antialiased.
      max_pixels: width x height that is refused beyond.

    Returns:
      float32 [side, side, 3], in [0, 255].

    Raises:
      tf.errors.InvalidArgumentError: (when run) not an image, damaged, truncated or too large.
    """
    height, width = image_shape(image_bytes)
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    is_image = tf.debugging.Assert(pixels > 0, ["not a JPEG, PNG or BMP image"])
    too_large = tf.strings.format(f"image has {{}} pixels, allowed are {max_pixels}", [pixels])
    fits = tf.debugging.Assert(pixels <= max_pixels, [too_large])
    with tf.control_dependencies([is_image, fits]):
        image_bytes = tf.identity(image_bytes)
    image = tf.cond(
        tf.strings.substr(image_bytes, 0, 8) == PNG_SIGNATURE,
        lambda: _decode_png(image_bytes),
        lambda: tf.cast(
            tf.io.decode_image(image_bytes, channels=3, expand_animations=False), tf.float32
        ),
    )
    image.set_shape([None, None, 3])
    # Antialiased resizing costs as much as decoding: not where there is nothing to resize.
    image = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == side),
        lambda: image,
        lambda: tf.image.resize(image, [side, side], antialias=True),
    )
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 255.0), [side, side, 3])


def image_shape(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(height, width), scalar int32, from the header of an image; (0, 0) if it is none."""

    def integer(at: int, dtype: tf.DType, little_endian: bool) -> tf.Tensor:
        raw = tf.strings.substr(image_bytes, at, dtype.size)
        return tf.cast(tf.io.decode_raw(raw, dtype, little_endian)[0], tf.int32)

    def png() -> tf.Tensor:
        return tf.stack([integer(20, tf.int32, False), integer(16, tf.int32, False)])

    def bmp() -> tf.Tensor:  # a negative height means rows from the top
        bits = integer(28, tf.uint16, True)  # TensorFlow takes the indices of a palette for greys
        no_palette = tf.debugging.Assert(bits >= 24, ["BMP with a palette: it cannot be read"])
        with tf.control_dependencies([no_palette]):
            return tf.stack([tf.abs(integer(22, tf.int32, True)), integer(18, tf.int32, True)])

    def jpeg() -> tf.Tensor:
        return tf.image.extract_jpeg_shape(image_bytes)[:2]

    def starts(signature: bytes, header_bytes: int) -> tf.Tensor:
        start = tf.strings.substr(image_bytes, 0, len(signature))
        return (start == signature) & (tf.strings.length(image_bytes) >= header_bytes)

    shape = tf.case(
        [
            (starts(b"\xff\xd8\xff", 4), jpeg),
            (starts(PNG_SIGNATURE, 25), png),
            (starts(b"BM", 30), bmp),
        ],
        default=lambda: tf.zeros([2], tf.int32),
    )
    return shape[0], shape[1]


def _decode_png(image_bytes: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(image_bytes, channels=4), tf.float32)
    # TensorFlow makes the alpha of an image that has none 2**bits - 1, also where its colours of
    # 1, 2 or 4 bits have become 8: such an image is opaque, not nearly invisible.
    bits = tf.cast(tf.io.decode_raw(tf.strings.substr(image_bytes, 24, 1), tf.uint8)[0], tf.int32)
    is_opaque = tf.reduce_all(image[..., 3:] == tf.cast(2**bits - 1, tf.float32))
    alpha = tf.where(is_opaque, 1.0, image[..., 3:] / 255.0)
    return image[..., :3] * alpha + 255.0 * (1.0 - alpha)
