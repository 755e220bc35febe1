"""Reads the header of an image file, as a TensorFlow graph.

The size decides whether an image is decoded at all, so that a small file that would expand to
gigabytes does no harm.
"""

from collections.abc import Callable

import tensorflow as tf

from pipeline.images.gif_frame import first_gif_frame
from pipeline.images.integers import integer, not_inlined
from tfrecords_schema.image_formats import BMP, GIF, JPEG, PNG, UNKNOWN, WEBP

JPEG_SIGNATURE = b"\xff\xd8\xff"


def image_format(data: tf.Tensor) -> tf.Tensor:
    """PNG, GIF, BMP, WEBP or UNKNOWN, from the first of the `file_bytes`; scalar int32."""

    def starts(signature: bytes, at: int = 0) -> tf.Tensor:
        found = integer(data, at, len(signature), False)
        return found == int.from_bytes(signature)

    # Without a known chunk name libwebp would read the size from another position than this code.
    chunk = integer(data, 15, 1, True)
    webp_has_chunk = tf.reduce_any(chunk == list(b" LX"))
    formats = [
        (PNG, starts(b"\x89PNG") & starts(b"\r\n\x1a\n", 4)),
        (GIF, starts(b"GIF8")),
        (BMP, starts(b"BM")),
        (WEBP, starts(b"RIFF") & starts(b"WEBPVP8", 8) & webp_has_chunk),
    ]
    found = tf.constant(UNKNOWN)
    for number, is_it in formats:
        found = tf.where(is_it, number, found)
    return found


@not_inlined  # once in the graph, for all decoders
def image_shape(data: tf.Tensor, format: tf.Tensor) -> tf.Tensor:
    """Height and width of an image that is not a JPEG, int64 [2]; (0, 0) if it is no image.

    Args:
      data: the `file_bytes` of the image.
      format: the `image_format` of the image.
    """

    def pair(height_at: int, width_at: int, size: int, little_endian: bool) -> tf.Tensor:
        return integer(data, tf.constant([height_at, width_at]), size, little_endian)

    def bmp() -> tf.Tensor:  # a negative height means rows from the top
        signed = tf.cast(pair(22, 18, 4, True), tf.int32)
        return tf.abs(tf.cast(signed, tf.int64))

    def gif() -> tf.Tensor:  # size of the first frame, not of the logical screen
        frame, _ = first_gif_frame(data)
        return tf.stack([integer(data, frame + 7, 2, True), integer(data, frame + 5, 2, True)])

    def webp() -> tf.Tensor:  # "VP8 ", "VP8L" or "VP8X" (RFC 9649, section 2)
        lossless = integer(data, 21, 4, True)
        extended = pair(27, 24, 3, True) + 1
        return tf.switch_case(
            tf.where(data[15] == ord("L"), 1, tf.where(data[15] == ord("X"), 2, 0)),
            {
                0: lambda: pair(28, 26, 2, True) % 2**14,
                1: lambda: tf.stack([lossless // 2**14, lossless]) % 2**14 + 1,
                2: lambda: extended,
            },
        )

    def unknown() -> tf.Tensor:
        return tf.zeros([2], tf.int64)

    shapes: dict[int, Callable[[], tf.Tensor]] = {
        JPEG: unknown,
        PNG: lambda: pair(20, 16, 4, False),
        GIF: gif,
        BMP: bmp,
        WEBP: webp,
    }
    return tf.switch_case(format, shapes, default=unknown)
