"""Image bytes to a square float image: against Pillow, in every format, size and orientation."""

import io

import numpy as np
import pytest
import tensorflow as tf
from encoded_images import (
    CUT,
    IMAGES,
    PICTURE,
    SIDE,
    decode,
    encode,
    graph,
    noise,
    on_white,
    opened,
    png,
    samples,
)
from PIL import Image, ImageOps

from pipeline.config import RESIZE
from tfrecords_schema.image_formats import IMAGE_SUFFIXES

BILINEAR = Image.Resampling.BILINEAR
PILLOW = {
    "stretch": lambda image: image.resize((SIDE, SIDE), BILINEAR),
    "pad": lambda image: ImageOps.pad(image, (SIDE, SIDE), BILINEAR),
    "crop": lambda image: ImageOps.fit(image, (SIDE, SIDE), BILINEAR),
}


def turned(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def waves(height, width):
    """A picture whose detail is not lost where it is made small: some 6 to 9 waves a side."""
    x, y = (np.arange(size) / size for size in (width, height))
    colors = [
        np.sin(2 * np.pi * (k * x + 2 * np.sin(3 * y[:, None])))
        * np.cos(2 * np.pi * 6 * y[:, None])
        for k in (7, 8, 9)
    ]
    return Image.fromarray(np.uint8(np.round(127 + 120 * np.stack(colors, -1))))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_decodes_as_pillow_has_it(name):
    image = decode(IMAGES[name])
    # Decoders agree to the bit; where they are of other versions, JPEG may differ by a level.
    assert np.abs(image - on_white(opened(IMAGES[name]))).max() <= 1
    assert image.max() - image.min() > 40  # and is a picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_its_upper_8(channels):
    pixels = samples(channels, 16)
    scaled = pixels / 257
    alpha = scaled[..., -1:] / 255 if channels in (2, 4) else 1
    expected = scaled[..., : 3 if channels > 2 else 1] * alpha + 255 * (1 - alpha)
    assert np.abs(decode(png(pixels, 16)) - expected).max() < 2.5  # also of the alpha


FORMATS = {
    "jpeg": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 95}),
    "webp lossless": ("WEBP", {"lossless": True}),
}


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_is_made_upright_as_by_pillow(resize, name, orientation):
    format, options = FORMATS[name]
    image_bytes = encode(waves(60, 120), format, exif=turned(orientation), **options)
    expected = PILLOW[resize](ImageOps.exif_transpose(opened(image_bytes)))
    assert np.abs(decode(image_bytes, resize=resize) - on_white(expected)).max() <= 2


# Reduced while that leaves twice the side: 192, 384 and 768 pixels for a side of 48.
SHORTER = {96: 1, 191: 1, 192: 2, 193: 2, 383: 2, 384: 4, 385: 4, 767: 4, 768: 8, 769: 8}


@pytest.mark.parametrize("shorter", SHORTER)
@pytest.mark.parametrize("factor", [1, 1.5])
def test_a_large_jpeg_decodes_as_in_full(shorter, factor):
    full = encode(waves(shorter, int(factor * shorter)), "JPEG", quality=90)
    difference = np.abs(decode(full) - on_white(PILLOW["stretch"](opened(full))))
    assert difference.mean() < 2  # levels
    assert difference.max() < 15


@pytest.mark.parametrize("shorter", [size for size in SHORTER if size % 8 == 0 or size == 191])
def test_a_jpeg_is_reduced_from_four_times_the_side(shorter):
    # Noise differs by how it is reduced. Pillow's `draft` lets libjpeg do it too.
    jpeg = encode(noise(shorter, shorter), "JPEG")
    drafts = {}
    for ratio in (1, 2, 4, 8):
        draft = opened(jpeg)
        draft.draft("RGB", (shorter // ratio, shorter // ratio))
        drafts[ratio] = np.abs(decode(jpeg) - on_white(PILLOW["stretch"](draft))).max()
    assert drafts.pop(SHORTER[shorter]) <= 1.01
    assert min(drafts.values()) > 2


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("height, width", [(769, 400), (400, 1601), (60, 3000), (1999, 195)])
def test_a_large_or_long_jpeg_is_resized_and_turned_in_each_way_as_in_full(resize, height, width):
    jpeg = encode(waves(height, width), "JPEG", quality=90, exif=turned(8))
    lossless = encode(opened(jpeg), "PNG", exif=turned(8))  # is never reduced
    assert np.abs(decode(jpeg, resize=resize) - decode(lossless, resize=resize)).mean() < 2


def test_what_readers_take_for_an_image_is_decoded():
    for suffix in IMAGE_SUFFIXES:
        buffer = io.BytesIO()
        PICTURE.save(buffer, Image.registered_extensions()[suffix])
        assert decode(buffer.getvalue()).shape[-1] == 3, suffix


def test_a_batch_of_any_formats_is_decoded_one_after_the_other():
    batch = [*IMAGES.values(), *CUT.values()]
    decoded = tf.function(
        lambda x: tf.map_fn(graph(), x, parallel_iterations=1, fn_output_signature=tf.float32),
        autograph=False,
    )(tf.constant(batch))
    np.testing.assert_array_equal(decoded, [decode(image_bytes) for image_bytes in batch])
