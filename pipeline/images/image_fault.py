"""Describes faults of image files, as a TensorFlow graph.

The decoder rejects an image with such a reason, and the export returns it. A served graph must not
fail because of one image of a batch, and a graph cannot catch the message of an operation. So
faults are found here from the file itself.
"""

import tensorflow as tf

from pipeline.images.image_header import JPEG_SIGNATURE, image_format, image_shape
from pipeline.images.integers import file_bytes, integer, not_inlined
from tfrecords_schema.image_formats import BMP, FORMAT_NAMES, GIF, JPEG, PNG, WEBP, listed

JPEG_END, PNG_END = b"\xff\xd9", b"IEND"
AFTER_END = 1000  # bytes: some cameras write a little after the end of a JPEG
NO_IMAGE = f"not a {listed(FORMAT_NAMES)} image"
# Name -> signatures of such files, each with its position.
OTHER_SIGNATURES = {
    "AVIF": [(b"ftypavif", 4), (b"ftypavis", 4)],
    "HEIC": [(b"ftyp" + brand, 4) for brand in (b"hei", b"hev", b"mif1", b"msf1")],
    "TIFF": [(b"II*\0", 0), (b"MM\0*", 0), (b"II+\0", 0), (b"MM\0+", 0)],
    "JPEG XL": [(b"\xff\x0a", 0), (b"JXL \r\n\x87\n", 4)],
    "JPEG 2000": [(b"jP  \r\n\x87\n", 4), (b"\xff\x4f\xff\x51", 0)],
    "PSD": [(b"8BPS", 0)],
    "PDF": [(b"%PDF", 0)],
}
NOT_READ = "{} is not read: convert it to JPEG or PNG"


def format_number(image_bytes: tf.Tensor) -> tf.Tensor:
    """The number of a file's format in `image_formats.FORMAT_NAMES`, or UNKNOWN; scalar int32."""
    is_jpeg = tf.strings.substr(image_bytes, 0, 3) == JPEG_SIGNATURE
    return tf.cond(is_jpeg, lambda: tf.constant(JPEG), lambda: _other_format(image_bytes))


@not_inlined
def _other_format(image_bytes: tf.Tensor) -> tf.Tensor:
    return image_format(file_bytes(image_bytes))


def size_fault(
    shape: tf.Tensor, max_pixels: int, hint: str = "", no_image: str = "not an image"
) -> tf.Tensor:
    """The fault of an image with this height and width, scalar string; empty if there is none."""
    pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
    too_many = tf.strings.format(f"image has {{}} pixels, allowed are {max_pixels}{hint}", [pixels])
    return tf.where(pixels <= 0, no_image, tf.where(pixels > max_pixels, too_many, ""))


def bmp_fault(data: tf.Tensor) -> tf.Tensor:
    """Why a BMP cannot be read, from its `file_bytes`; empty if it can be."""
    header_bytes, bits, compression = (integer(data, at, 2, True) for at in (14, 28, 30))
    is_bgr = integer(data, 54, 4, True) == 0xFF0000  # the mask of red, if compression 3 has masks
    is_plain = (compression == 0) | ((compression == 3) & is_bgr)
    is_read = tf.reduce_any(bits == [8, 24, 32]) & is_plain & (header_bytes >= 40)
    fault = "BMP of {} bits, compression {}: it cannot be read"
    return tf.where(is_read, "", tf.strings.format(fault, [bits, compression]))


def webp_fault(data: tf.Tensor) -> tf.Tensor:
    """Why a WebP cannot be read, from its `file_bytes`; empty if it can be."""
    is_extended = integer(data, 15, 1, True) == ord("X")
    is_animated = is_extended & (integer(data, 20, 1, True) // 2 % 2 == 1)
    return tf.where(is_animated, "WebP with animation: it cannot be read", "")


def image_fault(image_bytes: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Why an image cannot be decoded, scalar string, never empty.

    Args:
      image_bytes: scalar string, a file that the decoder has rejected.
      max_pixels: the largest number of pixels.

    Raises:
      tf.errors.InvalidArgumentError: (when run) the header of a JPEG is damaged.
    """
    data, number = file_bytes(image_bytes), format_number(image_bytes)
    return tf.switch_case(
        number,
        {
            JPEG: lambda: first_of(
                size_fault(tf.image.extract_jpeg_shape(image_bytes)[:2], max_pixels),
                tf.where(_has(data, JPEG_END), "damaged JPEG", "truncated JPEG: it has no end"),
            ),
            PNG: lambda: first_of(
                size_fault(image_shape(data, number), max_pixels),
                tf.where(_has(data, PNG_END), "damaged PNG", "truncated PNG: it has no end"),
            ),
            GIF: lambda: first_of(
                size_fault(image_shape(data, number), max_pixels), "damaged or truncated GIF"
            ),
            BMP: lambda: first_of(
                size_fault(image_shape(data, number), max_pixels),
                first_of(bmp_fault(data), "damaged or truncated BMP"),
            ),
            WEBP: lambda: first_of(
                size_fault(image_shape(data, number), max_pixels),
                first_of(webp_fault(data), "damaged or truncated WebP"),
            ),
        },
        default=lambda: _other_fault(image_bytes),
    )


def first_of(fault: tf.Tensor, otherwise: tf.Tensor | str) -> tf.Tensor:
    """`fault` if it is not empty, else `otherwise`."""
    return tf.where(fault == "", otherwise, fault)


def _has(data: tf.Tensor, end: bytes) -> tf.Tensor:
    """Whether the last bytes of a file contain `end`."""
    tail = data[-AFTER_END:]
    is_here = tf.fill(tf.shape(tail), True)
    for i, byte in enumerate(end):
        is_here &= tf.roll(tail, -i, axis=0) == byte
    return tf.reduce_any(is_here)


def _other_fault(image_bytes: tf.Tensor) -> tf.Tensor:
    """The fault of a file in none of the decoded formats."""
    head = tf.strings.join([image_bytes, bytes(16)])  # padded, for the longest signature
    fault = tf.where(tf.strings.length(image_bytes) == 0, "the file is empty", "not an image")
    for name, signatures in OTHER_SIGNATURES.items():
        for signature, at in signatures:
            is_it = tf.strings.substr(head, at, len(signature)) == signature
            fault = tf.where(is_it, NOT_READ.format(name), fault)
    return fault
