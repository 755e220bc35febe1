"""Formats and sizes from headers: against Pillow, and where a header lies or ends."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.images import image_header
from pipeline.images.integers import file_bytes
from tfrecords_schema.image_formats import BMP, GIF, PNG, UNKNOWN, WEBP

HEIGHT, WIDTH = 37, 51
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def patched(image_bytes, at, replacement):
    return image_bytes[:at] + replacement + image_bytes[at + len(replacement) :]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _header(image_bytes):
    data = file_bytes(image_bytes)
    format = image_header.image_format(data)
    return format, image_header.image_shape(data, format)


def header(image_bytes):
    """Format, height and width."""
    format, shape = _header(image_bytes)
    return int(format), *shape.numpy().tolist()


IMAGES = {
    "png": (PNG, encode(PICTURE, "PNG")),
    "png of 1 bit": (PNG, encode(PICTURE.convert("1"), "PNG")),
    "gif": (GIF, encode(PICTURE, "GIF")),
    "gif with comment": (GIF, encode(PICTURE, "GIF", comment=b"before the frame" * 50)),
    "bmp": (BMP, encode(PICTURE, "BMP")),
    "bmp of a palette": (BMP, encode(PICTURE.convert("P"), "BMP")),
    "webp": (WEBP, encode(PICTURE, "WEBP")),
    "webp lossless": (WEBP, encode(PICTURE, "WEBP", lossless=True)),
    "webp extended": (WEBP, encode(PICTURE, "WEBP", icc_profile=b"profile" * 20)),
    "webp lossless with alpha": (WEBP, encode(PICTURE.convert("RGBA"), "WEBP", lossless=True)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_format_and_size_are_those_of_the_image(name):
    format, image_bytes = IMAGES[name]
    assert header(image_bytes) == (format, HEIGHT, WIDTH)


@pytest.mark.parametrize("name", IMAGES)
def test_a_header_that_ends_early_has_another_size_or_none_and_does_not_fail(name):
    format, image_bytes = IMAGES[name]
    found = [header(image_bytes[:length]) for length in range(60)]
    assert found[0] == (UNKNOWN, 0, 0)
    assert {number for number, *_ in found} == {UNKNOWN, format}
    assert all(0 <= size <= 2**32 for _, *shape in found for size in shape)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("width, height", [(1, 1), (16_383, 2), (3, 16_383)])
def test_the_largest_and_smallest_webp_are_read(width, height, lossless):
    image_bytes = encode(Image.new("RGB", (width, height)), "WEBP", lossless=lossless, method=0)
    assert header(image_bytes) == (WEBP, height, width)


def test_an_extended_webp_may_say_24_bits():
    image_bytes = IMAGES["webp extended"][1]
    assert header(patched(image_bytes, 24, b"\xff" * 6)) == (WEBP, 2**24, 2**24)


def test_a_png_may_say_32_bits():
    image_bytes = patched(IMAGES["png"][1], 16, struct.pack(">II", 2**32 - 1, 2**31))
    assert header(image_bytes) == (PNG, 2**31, 2**32 - 1)


def test_a_bmp_with_rows_from_the_top_has_a_positive_height():
    image_bytes = patched(IMAGES["bmp"][1], 22, struct.pack("<i", -HEIGHT))
    assert header(image_bytes) == (BMP, HEIGHT, WIDTH)
    image_bytes = patched(IMAGES["bmp"][1], 22, struct.pack("<i", -(2**31)))
    assert header(image_bytes) == (BMP, 2**31, WIDTH)


def test_a_gif_is_as_large_as_its_first_frame_and_not_as_its_screen():
    image_bytes = patched(IMAGES["gif"][1], 6, struct.pack("<HH", 9_999, 8_888))
    assert header(image_bytes) == (GIF, HEIGHT, WIDTH)


def test_a_gif_without_a_frame_has_no_size():
    image_bytes = IMAGES["gif"][1]
    frame = image_bytes.index(b",\0\0\0\0")
    assert header(image_bytes[:frame] + b";") == (GIF, 0, 0)
    assert header(patched(image_bytes, frame, b";")) == (GIF, 0, 0)  # what follows is no frame


@pytest.mark.parametrize(
    "image_bytes",
    [
        b"", b"\0" * 100, b"\xff" * 100, b"a text and no image, however it is called",
        b"\x89PNG\n\n\x1a\n" + bytes(40), b"GIF7" + bytes(40), b"RIFF\0\0\0\0WAVE" + bytes(40),
        encode(PICTURE, "JPEG"), encode(PICTURE, "TIFF"),
    ],
    ids=["empty", "zeros", "ones", "text", "broken png", "gif7", "wave", "jpeg", "tiff"],
)  # fmt: skip
def test_a_file_that_is_no_image_has_an_unknown_format_and_no_size(image_bytes):
    assert header(image_bytes) == (UNKNOWN, 0, 0)


@pytest.mark.parametrize("name", ["webp", "webp lossless"])
def test_a_webp_whose_pixels_stand_in_no_chunk_is_unknown(name):
    # libwebp would decode it, of a size that stands elsewhere.
    image_bytes = IMAGES[name][1]
    assert header(image_bytes[:12] + image_bytes[20:]) == (UNKNOWN, 0, 0)
    assert header(patched(image_bytes, 12, b"VP8\x9d")) == (UNKNOWN, 0, 0)
