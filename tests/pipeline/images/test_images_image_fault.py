"""Reasons told within a graph: by files of Pillow's, whole, cut and of other formats."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.images.decode_image import Decoding, decode_format, decode_image
from pipeline.images.image_fault import format_number, image_fault
from tfrecords_schema.image_formats import FORMAT_NAMES, UNKNOWN, listed

SIDE = 48
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)
DECODING = Decoding(32, max_pixels=SIDE * SIDE)


def encode(format, image=PICTURE, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


FILES = [encode(name.upper()) for name in FORMAT_NAMES]
ONE = [tf.TensorSpec([], tf.string)]
NUMBER = tf.function(format_number, ONE, autograph=False)
FAULT = tf.function(lambda x: image_fault(x, DECODING.max_pixels), ONE, autograph=False)
FAULT_OF_SMALLER = tf.function(lambda x: image_fault(x, SIDE), ONE, autograph=False)


def fault(content, function=FAULT):
    return function(tf.constant(content)).numpy().decode()


def test_the_number_of_a_format_is_its_place_in_the_list():
    assert [int(NUMBER(tf.constant(content))) for content in FILES] == list(range(len(FILES)))
    for content in (b"", b"text", encode("TIFF")):
        assert int(NUMBER(tf.constant(content))) == UNKNOWN == len(FILES)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_a_decoder_of_one_format_does_what_the_decoder_of_all_does(number):
    content = tf.constant(FILES[number])
    one = tf.function(lambda x: decode_format(x, number, DECODING), ONE, autograph=False)
    all = tf.function(lambda x: decode_image(x, DECODING), ONE, autograph=False)
    np.testing.assert_array_equal(one(content), all(content))


def test_a_file_of_another_kind_is_named():
    assert fault(b"") == "the file is empty"
    for content in (b"\0", b"not an image", bytes(100), b"GIF89a" + bytes(40)):
        assert fault(content) == "not an image"
    for name, content in (("TIFF", encode("TIFF")), ("AVIF", encode("AVIF")), ("PDF", b"%PDF-1")):
        assert fault(content) == f"{name} is not read: convert it to JPEG or PNG"


@pytest.mark.parametrize("number", range(len(FILES)))
def test_too_many_pixels_are_counted_before_all_else(number):
    content = FILES[number]
    for part in (content, content[: len(content) * 2 // 3]):
        assert (
            fault(part, FAULT_OF_SMALLER) == f"image has {SIDE * SIDE} pixels, allowed are {SIDE}"
        )


@pytest.mark.parametrize("number", range(len(FILES)))
def test_a_cut_file_is_truncated_or_damaged(number):
    content = FILES[number]
    reason = fault(content[: len(content) * 2 // 3])
    assert FORMAT_NAMES[number] in reason and "truncated" in reason


def test_a_jpeg_or_png_that_has_its_end_is_damaged():
    for number in (0, 1):
        content = FILES[number]
        middle = len(content) // 2
        damaged = content[:middle] + bytes(20) + content[middle + 20 :]
        assert fault(damaged) == f"damaged {FORMAT_NAMES[number]}"


def test_kinds_of_a_format_that_are_not_read_are_named():
    frames = encode("WEBP", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert fault(frames) == "WebP with animation: it cannot be read"
    assert "BMP of 1 bits" in fault(encode("BMP", PICTURE.convert("1")))


def test_names_are_listed_as_a_person_says_them():
    assert listed(("JPEG",)) == "JPEG"
    assert listed(("JPEG", "PNG")) == "JPEG or PNG"
    assert listed(FORMAT_NAMES) == "JPEG, PNG, GIF, BMP or WebP"
