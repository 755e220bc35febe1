"""Reads the Exif orientation, as a TensorFlow graph. Cameras set it instead of turning pixels.

It is in a TIFF structure within a JPEG segment, a PNG chunk or a WebP chunk.
"""

from collections.abc import Callable

import tensorflow as tf

from pipeline.images.integers import file_bytes, integer, not_inlined

_ORIENTATION = 0x0112  # the tag's number (TIFF 6.0, page 36; Exif 2.3, table 4)
_MAX_CHUNKS = 1000  # limit of the search; a malicious file may have millions of empty chunks


@not_inlined
def jpeg_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """The Exif orientation of a JPEG file, scalar int64 of 1 to 8; 1, upright, if it has none."""
    data = file_bytes(image_bytes)
    return _orientation_at(data, _jpeg_exif(data))


def png_orientation(data: tf.Tensor) -> tf.Tensor:
    """The Exif orientation of a PNG file, from its `file_bytes`; see `jpeg_orientation`."""
    return _orientation_at(data, _png_exif(data))


def webp_orientation(data: tf.Tensor) -> tf.Tensor:
    """The Exif orientation of a WebP file, from its `file_bytes`; see `jpeg_orientation`."""
    return _orientation_at(data, _webp_exif(data))


def _orientation_at(data: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
    upright = tf.constant(1, tf.int64)
    return tf.cond(tiff > 0, lambda: _tiff_orientation(data, tiff), lambda: upright)


def _jpeg_exif(data: tf.Tensor) -> tf.Tensor:
    # Application segments come first: 0xff, 0xe0 to 0xef, length that includes itself.
    def is_other(at: tf.Tensor) -> tf.Tensor:
        marker = integer(data, at, 2, False)
        is_exif = (marker == 0xFFE1) & (integer(data, at + 4, 4, False) == 0x45786966)
        return is_exif | (((marker < 0xFFE0) | (marker > 0xFFEF)) & (marker != 0xFFFE))

    at = _walk(data, 2, is_other, lambda at: at + 2 + integer(data, at + 2, 2, False))
    return tf.where(integer(data, at, 2, False) == 0xFFE1, at + 10, 0)


def _png_exif(data: tf.Tensor) -> tf.Tensor:
    # Chunks: length, name, content, checksum. "eXIf" is only looked for before "IDAT".
    def name(at: tf.Tensor) -> tf.Tensor:
        return integer(data, at + 4, 4, False)

    def is_found(at: tf.Tensor) -> tf.Tensor:
        return (name(at) == 0x65584966) | (name(at) == 0x49444154)

    at = _walk(data, 8, is_found, lambda at: at + 12 + integer(data, at, 4, False))
    return tf.where(name(at) == 0x65584966, at + 8, 0)


def _webp_exif(data: tf.Tensor) -> tf.Tensor:
    # Chunks: name, length, content, padded to an even number of bytes. "EXIF" comes last.
    def is_found(at: tf.Tensor) -> tf.Tensor:
        return integer(data, at, 4, False) == 0x45584946

    def after(at: tf.Tensor) -> tf.Tensor:
        length = integer(data, at + 4, 4, True)
        return at + 8 + length + length % 2

    at = _walk(data, 12, is_found, after)
    has_prefix = integer(data, at + 8, 4, False) == 0x45786966  # some writers keep JPEG's "Exif"
    return tf.where(is_found(at), at + 8 + tf.where(has_prefix, tf.constant(6, tf.int64), 0), 0)


def _walk(
    data: tf.Tensor,
    start: int,
    is_found: Callable[[tf.Tensor], tf.Tensor],
    after: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """The position of the first matching chunk from `start` on, or one past the last chunk."""
    end = tf.size(data, tf.int64) - 1
    [at] = tf.while_loop(
        lambda at: (at < end) & ~is_found(at),
        lambda at: [after(at)],
        [tf.constant(start, tf.int64)],
        maximum_iterations=_MAX_CHUNKS,
    )
    return tf.minimum(at, end)


@not_inlined
def _tiff_orientation(data: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of the TIFF structure at `tiff` (TIFF 6.0, 2)."""

    def read(little_endian: bool) -> tf.Tensor:
        directory = tiff + integer(data, tiff + 4, 4, little_endian)
        count = integer(data, directory, 2, little_endian)
        entries = directory + 2 + 12 * tf.range(tf.minimum(count, 1000))
        tags = integer(data, entries, 2, little_endian)
        values = integer(data, entries + 8, 2, little_endian)
        found = tf.reduce_max(tf.where(tags == _ORIENTATION, values, 0))
        return tf.where((found >= 1) & (found <= 8), found, 1)

    byte_order = integer(data, tiff, 4, False)
    is_little_endian, is_big_endian = byte_order == 0x49492A00, byte_order == 0x4D4D002A
    return tf.case(
        [(is_little_endian, lambda: read(True)), (is_big_endian, lambda: read(False))],
        default=lambda: tf.constant(1, tf.int64),
    )
