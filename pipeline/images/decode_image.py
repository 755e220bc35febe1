"""Decodes image bytes to a square float image, as a TensorFlow graph.

It is a graph, not Pillow in Python, so that the exported model has the same operations: serving
sees the same pixels as training.

| format | |
|---|---|
| JPEG | grey, RGB, CMYK; baseline and progressive; a large one is decoded at 1/2, 1/4 or 1/8 |
| PNG | 1 to 16 bits, palettes, grey, alpha; animation: its first frame |
| GIF | its first frame alone, without the canvas around it |
| BMP | 8 bits (with its palette), 24 and 32; not compressed |
| WebP | lossy and lossless, alpha; not animated |

Transparent pixels are blended with white, as in a browser. Images are rotated upright by their Exif
orientation. The size is read from the header before anything is decoded.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline.config import MAX_PIXELS
from pipeline.images.exif import jpeg_orientation, png_orientation, webp_orientation
from pipeline.images.gif_frame import only_first_frame
from pipeline.images.image_fault import JPEG_END, NO_IMAGE, bmp_fault, size_fault, webp_fault
from pipeline.images.image_header import JPEG_SIGNATURE, image_format, image_shape
from pipeline.images.integers import file_bytes, integer, not_inlined
from pipeline.images.resize_image import resize_image
from tfrecords_schema.image_formats import BMP, GIF, JPEG, PNG, WEBP

# A JPEG is decoded at a fraction of its size while that is at least this many times the result's
# side. The resizing filter does the rest, without a visible difference (Pillow's `reducing_gap`).
_REDUCING_GAP = 2


class Decoding(NamedTuple):
    """The settings for turning image files into the network's input."""

    side: int  # side of the square result, pixels
    max_pixels: int = MAX_PIXELS  # a file with more pixels (width x height) is rejected
    resize: str = "stretch"  # one of pipeline.config.RESIZE
    allow_truncated: bool = False  # whether to decode a truncated JPEG, grey from its end on


def decode_image(image_bytes: tf.Tensor, decoding: Decoding) -> tf.Tensor:
    """Decodes and resizes one image.

    Args:
      image_bytes: scalar string, an encoded image.
      decoding: the settings.

    Returns:
      float32 [side, side, 3], in [0, 255].

    Raises:
      tf.errors.InvalidArgumentError: (when run) not an image, damaged, truncated or too large.
    """
    # Inlined nodes cost time even in a branch not taken, so the rarer branches are function calls.
    pixels = tf.cond(
        tf.strings.substr(image_bytes, 0, 3) == JPEG_SIGNATURE,
        lambda: _decode_jpeg(image_bytes, decoding),
        lambda: _decode_other(image_bytes, decoding),
    )
    return _finish(pixels, decoding)


def decode_format(image_bytes: tf.Tensor, number: int, decoding: Decoding) -> tf.Tensor:
    """Decodes and resizes one image of the format with this number in `image_formats`."""
    if number == JPEG:
        return _finish(_decode_jpeg(image_bytes, decoding), decoding)
    return _finish(_DECODE[number](image_bytes, decoding), decoding)


@tf.function(autograph=False)  # once in the graph, for all decoders
def _finish(pixels: tuple[tf.Tensor, ...], decoding: Decoding) -> tf.Tensor:
    image, size, turn = pixels
    image = tf.ensure_shape(image, [None, None, 3])
    image = resize_image(image, decoding.side, decoding.resize, size)
    image = tf.cond(turn > 1, lambda: _turn_upright(image, turn), lambda: image)
    return tf.ensure_shape(image, [decoding.side, decoding.side, 3])


def _check_size(image_bytes: tf.Tensor, shape: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """`image_bytes`, after an assertion that they are an image and not too large."""
    return _unless(size_fault(shape, max_pixels, ": see --max_pixels", NO_IMAGE), image_bytes)


def _unless(fault: tf.Tensor, image_bytes: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(fault == "", [fault])]):
        return tf.identity(image_bytes)


def _decode_jpeg(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    """Pixels, height and width (maybe with a part of the last pixel), and the orientation."""
    shape = tf.image.extract_jpeg_shape(image_bytes)[:2]
    image_bytes = _check_size(image_bytes, shape, decoding.max_pixels)
    if decoding.allow_truncated:
        # With an end marker libjpeg fills the rest with grey. With `try_recover_truncated` it would
        # read the last bytes again and again, which gives noise or fails.
        image_bytes = tf.strings.join([image_bytes, JPEG_END])

    def decode(ratio: int) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(
            image_bytes,
            channels=3,
            ratio=ratio,
            dct_method="INTEGER_ACCURATE",  # as in Pillow; not slower than the fast one
        )
        return image, tf.cast(shape, tf.float32) / ratio

    def decode_reduced() -> tuple[tf.Tensor, tf.Tensor]:
        index = tf.reduce_sum(tf.cast(reduction >= [4, 8], tf.int32))
        return tf.switch_case(index, [lambda ratio=ratio: decode(ratio) for ratio in (2, 4, 8)])

    reduction = tf.reduce_min(shape) // (_REDUCING_GAP * decoding.side)
    image, size = tf.cond(reduction >= 2, decode_reduced, lambda: decode(1))
    # Most files without Exif have their quantization table right after the JFIF segment.
    after_jfif = tf.strings.substr(image_bytes, 20, 2)
    turn = tf.cond(
        after_jfif == b"\xff\xdb",
        lambda: tf.constant(1, tf.int64),
        lambda: jpeg_orientation(image_bytes),
    )
    return image, size, turn


@not_inlined
def _decode_other(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    number = image_format(file_bytes(image_bytes))

    def refuse() -> tuple[tf.Tensor, ...]:
        checked = _check_size(image_bytes, tf.zeros([2], tf.int64), decoding.max_pixels)
        with tf.control_dependencies([checked]):
            return _upright(tf.zeros([1, 1, 3], tf.uint8))

    branches: dict[int, Callable[[], tuple[tf.Tensor, ...]]] = {JPEG: refuse}  # never a JPEG here
    for other, decode in _DECODE.items():
        branches[other] = functools.partial(decode, image_bytes, decoding)
    return tf.switch_case(number, branches, default=refuse)


def _upright(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return image, tf.cast(tf.shape(image)[:2], tf.float32), tf.constant(1, tf.int64)


def _checked(image_bytes: tf.Tensor, number: int, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    """The bytes of a file that is not too large, and its `file_bytes`."""
    data = file_bytes(image_bytes)
    shape = image_shape(data, tf.constant(number))
    return _check_size(image_bytes, shape, decoding.max_pixels), data


@not_inlined
def _decode_png(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    image_bytes, data = _checked(image_bytes, PNG, decoding)
    image = tf.io.decode_png(image_bytes, channels=4)
    # For an image without alpha TensorFlow sets alpha to 2**bits - 1, even if it has scaled colors
    # of 1, 2 or 4 bits to 8. Such an image is opaque, not nearly transparent.
    bits = integer(data, 24, 1, False)
    is_opaque = tf.reduce_all(tf.cast(image[..., 3], tf.int64) == 2**bits - 1)
    image = tf.cond(is_opaque, lambda: image[..., :3], lambda: _over_white(image))
    return *_upright(image)[:2], png_orientation(data)


@not_inlined
def _decode_gif(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    image_bytes, data = _checked(image_bytes, GIF, decoding)
    return _upright(tf.io.decode_gif(only_first_frame(image_bytes, data))[0])


@not_inlined
def _decode_bmp(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    image_bytes, data = _checked(image_bytes, BMP, decoding)
    image = tf.io.decode_bmp(_unless(bmp_fault(data), image_bytes))
    header_bytes, bits = (integer(data, at, 2, True) for at in (14, 28))

    def from_palette() -> tf.Tensor:  # TensorFlow decodes to indices into the palette
        entries = 14 + header_bytes + 4 * tf.range(256, dtype=tf.int64)
        colors = integer(data, entries[:, tf.newaxis] + [2, 1, 0], 1, True)
        return tf.gather(tf.cast(colors, tf.uint8), tf.cast(image[..., 0], tf.int32))

    return _upright(tf.cond(bits == 8, from_palette, lambda: image[..., :3]))


@not_inlined
def _decode_webp(image_bytes: tf.Tensor, decoding: Decoding) -> tuple[tf.Tensor, ...]:
    image_bytes, data = _checked(image_bytes, WEBP, decoding)
    image = tf.io.decode_webp(_unless(webp_fault(data), image_bytes))[0]  # the only frame
    opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))
    image = _over_white(tf.concat([image, opaque], -1)[..., :4])
    return *_upright(image)[:2], webp_orientation(data)


_DECODE = {PNG: _decode_png, GIF: _decode_gif, BMP: _decode_bmp, WEBP: _decode_webp}


def _over_white(image: tf.Tensor) -> tf.Tensor:
    """Blends with white: uint8 [height, width, 4] with alpha last -> uint8 [height, width, 3]."""
    image = tf.cast(image, tf.float32)
    alpha = image[..., 3:] / 255.0
    return tf.cast(tf.round(image[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an Exif orientation of 1 to 8 on a square image."""

    image = tf.where(orientation >= 5, tf.transpose(image, [1, 0, 2]), image)
    image = tf.where(tf.reduce_any(orientation == [2, 3, 6, 7]), image[:, ::-1], image)
    return tf.where(tf.reduce_any(orientation == [3, 4, 7, 8]), image[::-1], image)
