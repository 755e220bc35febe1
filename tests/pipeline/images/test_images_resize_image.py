"""Resizing to a square: against Pillow, and against itself turned."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pipeline.config import RESIZE
from pipeline.images.resize_image import resize_image

SIDE = 48
PILLOW_ROUNDS = 1.01  # levels: after the columns, after the rows, and in its weights
BILINEAR = Image.Resampling.BILINEAR
PILLOW = {
    "stretch": lambda image: image.resize((SIDE, SIDE), BILINEAR),
    "pad": lambda image: ImageOps.pad(image, (SIDE, SIDE), BILINEAR),
    "crop": lambda image: ImageOps.fit(image, (SIDE, SIDE), BILINEAR),
}


def noise(height, width):
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)


def resized(pixels, resize, size=None):
    """`pixels` resized in a graph, checked for shape, dtype and range."""
    graph = tf.function(
        lambda image, size: resize_image(image, SIDE, resize, size),
        [tf.TensorSpec([None, None, 3], pixels.dtype), tf.TensorSpec([2], tf.float32)],
        autograph=False,
    )
    image = graph(pixels, np.float32(pixels.shape[:2] if size is None else size)).numpy()
    assert (image.shape, image.dtype) == ((SIDE, SIDE, 3), np.float32)
    assert image.min() >= 0
    assert image.max() <= 255
    return image


# Pillow's `pad` takes whole pixels: these sizes are even where they are padded.
SIZES = [(96, 96), (96, 192), (300, 150), (20, 30), (32, 16), (1, 1), (480, 20)]


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("height, width", SIZES)
def test_resizing_is_that_of_pillow(resize, height, width):
    pixels = noise(height, width)
    expected = np.asarray(PILLOW[resize](Image.fromarray(pixels)), np.float32)
    assert np.abs(resized(pixels, resize) - expected).max() <= PILLOW_ROUNDS


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("height, width", [(97, 131), (131, 77), (48, 100), (1000, 30), (3, 900)])
def test_odd_sizes_are_stretched_and_cropped_as_by_pillow(resize, height, width):
    pixels = noise(height, width)
    expected = np.asarray(PILLOW[resize](Image.fromarray(pixels)), np.float32)
    assert np.abs(resized(pixels, resize) - expected).max() <= PILLOW_ROUNDS


@pytest.mark.parametrize("height, width", [(97, 131), (131, 77), (48, 100), (100, 48), (30, 47)])
def test_padding_keeps_the_aspect_ratio_where_its_sides_are_no_whole_pixels(height, width):
    image = resized(np.full((height, width, 3), 200, np.uint8), "pad")[..., 0]
    shown = np.array([height, width]) * SIDE / max(height, width)
    rows, columns = (image > 100).any(1).sum(), (image > 100).any(0).sum()
    assert np.abs([rows, columns] - shown).max() <= 1
    np.testing.assert_allclose(image, image[::-1], atol=0.05)  # as much black on either side
    np.testing.assert_allclose(image, image[:, ::-1], atol=0.05)


TURNS = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "turned by a quarter": lambda image: np.rot90(image),
}


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("height, width", [(97, 131), (48, 101), (23, 300), (60, 20)])
def test_turning_an_image_before_or_after_resizing_gives_the_same_pixels(
    resize, turn, height, width
):
    pixels = noise(height, width)
    np.testing.assert_allclose(
        resized(np.ascontiguousarray(TURNS[turn](pixels)), resize),
        TURNS[turn](resized(pixels, resize)),
        atol=0.05,
    )


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_image_that_has_the_size_asked_for_stays_as_it_is(resize, dtype):
    pixels = noise(SIDE, SIDE).astype(dtype)
    np.testing.assert_array_equal(resized(pixels, resize), pixels)


@pytest.mark.parametrize("height, width", [(SIDE * 4, SIDE * 4), (200, 300), (301, 97)])
def test_a_fine_checkerboard_becomes_grey(height, width):
    board = (np.indices((height, width)).sum(0) % 2 * 255).astype(np.uint8)
    image = resized(np.repeat(board[..., None], 3, -1), "stretch")
    assert np.abs(image - 127.5).max() < 10


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("height, width", [(24, 24), (30, 90), (1, 1), (200, 1), (1, 5000)])
def test_an_image_of_one_color_and_any_shape_fills_the_square(resize, height, width):
    image = resized(np.full((height, width, 3), (200, 100, 50), np.uint8), resize)
    np.testing.assert_allclose(image, np.full((SIDE, SIDE, 3), (200, 100, 50)), atol=0.01)


@pytest.mark.parametrize("height, width", [(3, 900), (900, 3), (1, 5000)])
def test_a_thin_image_does_not_vanish_between_the_padding(height, width):
    image = resized(np.full((height, width, 3), 200, np.uint8), "pad")[..., 0]
    lines = image if height > width else image.T  # its middle columns, or rows
    assert lines[:, SIDE // 2 - 1 : SIDE // 2 + 1].max(1).min() > 190
    assert 0.8 <= (image > 0).sum() / SIDE <= 2  # one pixel, or two that share it


@pytest.mark.parametrize(
    "resize, scale, shift",
    [("stretch", 48 / 15.125, 0), ("pad", 48 / 15.125, 0), ("crop", 4, 6.25)],
)
def test_the_last_column_may_be_a_part_of_a_pixel(resize, scale, shift):
    # Of 16 columns 15.125 are shown: a ramp tells to which place in them a pixel belongs.
    ramp = np.tile(10 * np.arange(16, dtype=np.float32)[:, None], (12, 1, 3))
    row = resized(ramp, resize, size=(12, 15.125))[SIDE // 2, :, 0]
    expected = 10 * ((np.arange(SIDE) + 0.5 + shift) / scale - 0.5)
    inner = slice(4, -4)  # beyond, there is nothing to interpolate with
    np.testing.assert_allclose(row[inner], expected[inner], atol=0.01)
