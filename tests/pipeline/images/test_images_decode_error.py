"""Reasons for which an image is refused: by the name of its format, or by the flag that helps."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.images.decode_error import explain, other_format
from pipeline.images.decode_image import Decoding, decode_image

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def encode(format, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format, **options)
    return buffer.getvalue()


def reason(content, **decoding):
    """What a user reads of a file that is refused."""
    decode = tf.function(
        lambda x: decode_image(x, Decoding(32, **decoding)), [tf.TensorSpec([], tf.string)],
        autograph=False,
    )  # fmt: skip
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        decode(tf.constant(content))
    return str(explain(content, refused.value))


@pytest.mark.parametrize(
    "name, content",
    [
        ("AVIF", encode("AVIF")),
        ("TIFF", encode("TIFF")),
        ("TIFF", encode("TIFF", big_tiff=True)),
        ("JPEG 2000", encode("JPEG2000")),
        ("JPEG 2000", encode("JPEG2000", no_jp2=True)),
        ("PDF", encode("PDF")),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)),
        ("HEIC", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100)),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100)),
        ("SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("SVG", b"\xef\xbb\xbf <svg/>"),
        ("HTML, a web page,", b"<!DOCTYPE html><title>404</title>"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_what_to_do(name, content):
    assert reason(content) == f"{name} is not read: convert it to JPEG or PNG"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_format_that_is_read_is_not_named_as_another_format(format):
    assert other_format(encode(format)) == ""


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_names_the_flag_that_takes_it(progressive):
    jpeg = encode("JPEG", progressive=progressive)
    for content in (jpeg[: len(jpeg) * 2 // 3], jpeg[:-2]):
        assert "a JPEG without its end; --allow_truncated may take it" in reason(content)


def test_a_jpeg_with_its_end_and_what_is_no_jpeg_do_not_name_the_flag():
    jpeg = encode("JPEG")
    for content in (jpeg[:3] + b"noise" + jpeg[-2:] + b"after it", b"", b"text"):
        assert "--allow_truncated" not in reason(content)


def test_an_image_over_the_limit_names_the_flag_that_sets_it():
    for format in ("JPEG", "PNG"):
        message = reason(encode(format), max_pixels=4095)
        assert "image has 4096 pixels, allowed are 4095: see --max_pixels" in message
