"""Image files made to harm: cut, overwritten, or of a size that their header does not say."""

import struct

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
    noise,
    on_white,
    opened,
    palette,
    png,
    samples,
)
from PIL import ImageFile

from pipeline.config import MAX_PIXELS


def patched(image_bytes, at, replacement):
    return image_bytes[:at] + replacement + image_bytes[at + len(replacement) :]


@pytest.mark.parametrize(
    "image_bytes, reason",
    [
        (b"", "not a JPEG, PNG, GIF, BMP or WebP image"),
        (b"this is a text and no image, however it is called", "not a JPEG"),
        (b"\x00" * 100, "not a JPEG"),
        (encode(PICTURE, "TIFF"), "not a JPEG"),
        (encode(PICTURE.convert("1"), "BMP"), "BMP of 1 bits"),
        (encode(palette(16), "BMP", bits=4)[:28] + b"\4" + IMAGES["bmp"][29:], "BMP of 4 bits"),
        (patched(IMAGES["bmp"], 28, b"\x10"), "BMP of 16 bits"),
        (patched(IMAGES["bmp of a palette"], 30, b"\1"), "BMP of 8 bits, compression 1"),
        (patched(IMAGES["bmp of 32 bits"], 30, b"\3"), "BMP of 32 bits, compression 3"),
        (
            encode(PICTURE, "WEBP", save_all=True, append_images=[noise(SIDE, SIDE)]),
            "WebP with animation",
        ),
    ],
    ids=[
        "empty", "text", "zeros", "tiff", "bmp of 1 bit", "bmp of 4 bits", "bmp of 16 bits",
        "bmp compressed", "bmp with other masks", "webp animated",
    ],
)  # fmt: skip
@pytest.mark.parametrize("allow_truncated", [False, True])
def test_what_is_no_image_we_read_is_refused_with_the_reason(image_bytes, reason, allow_truncated):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decode(image_bytes, allow_truncated=allow_truncated)


@pytest.mark.parametrize(
    "name, allow_truncated",
    [(name, False) for name in CUT] + [(name, True) for name in CUT if "jpeg" not in name],
)
@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_a_truncated_image_is_refused_but_for_a_jpeg_that_is_allowed(
    name, allow_truncated, fraction
):
    decode(CUT[name], allow_truncated=allow_truncated)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(CUT[name][: int(len(CUT[name]) * fraction)], allow_truncated=allow_truncated)


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9, 10, 13, 20, 24, 25, 26, 29, 30, 33])
@pytest.mark.parametrize("allow_truncated", [False, True])
def test_a_file_cut_within_its_header_is_refused(name, length, allow_truncated):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(CUT[name][:length], allow_truncated=allow_truncated)


def test_a_truncated_jpeg_that_is_allowed_is_right_above_and_grey_below():
    jpeg = encode(noise(SIDE, SIDE), "JPEG", subsampling=0)
    whole = decode(jpeg, allow_truncated=True)
    np.testing.assert_array_equal(whole, decode(jpeg))
    cut = decode(jpeg[: int(len(jpeg) * 0.6)], allow_truncated=True)
    np.testing.assert_array_equal(cut[: SIDE // 3], whole[: SIDE // 3])
    np.testing.assert_array_equal(cut[-SIDE // 4 :], np.full((SIDE // 4, SIDE, 3), 128))


@pytest.mark.parametrize("fraction", np.linspace(0.4, 0.99, 12))
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_a_truncated_jpeg_that_is_allowed_is_that_of_pillow(monkeypatch, fraction, options):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    jpeg = encode(noise(SIDE, SIDE), "JPEG", **options)
    cut = jpeg[: int(len(jpeg) * fraction)]
    assert np.abs(decode(cut, allow_truncated=True) - on_white(opened(cut))).max() <= 1


def test_a_truncated_progressive_jpeg_that_is_allowed_is_coarse_everywhere():
    jpeg = encode(PICTURE, "JPEG", progressive=True, quality=95)
    third_scan = [at for at in range(len(jpeg)) if jpeg[at : at + 2] == b"\xff\xda"][2]
    whole, cut = decode(jpeg), decode(jpeg[: third_scan + 45], allow_truncated=True)
    for rows in (slice(0, SIDE // 2), slice(SIDE // 2, None)):
        assert 1 < np.abs(cut - whole)[rows].mean() < 20
        assert np.abs(whole - 128)[rows].mean() > 100  # as far off would grey be


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "bmp grey"])
@pytest.mark.parametrize("allow_truncated", [False, True])
def test_an_image_overwritten_with_noise_decodes_or_is_refused(name, allow_truncated):
    rng = np.random.default_rng(5)
    for _ in range(30):
        image_bytes = CUT[name]
        for at in rng.integers(0, len(image_bytes), 4):
            image_bytes = patched(image_bytes, at, rng.bytes(1))
        try:
            assert decode(image_bytes, allow_truncated=allow_truncated).shape == (SIDE, SIDE, 3)
        except tf.errors.InvalidArgumentError as error:
            assert len(str(error)) < 2_000  # and says why, not what is in the file


def sized(name, *size):
    """An image whose header says that it is this wide and high, as the format writes both."""
    image_bytes = IMAGES[name]
    if name == "png":
        return png(samples(3, 8), header=size)
    if name == "jpeg":
        frame = image_bytes.index(b"\xff\xc0")  # marker, length, precision, then height and width
        return patched(image_bytes, frame + 5, struct.pack(">HH", *size[::-1]))
    if name == "webp with a profile":
        return patched(image_bytes, 24, b"".join(struct.pack("<I", n - 1)[:3] for n in size))
    if name == "webp lossless":
        return patched(image_bytes, 21, struct.pack("<I", size[0] - 1 + (size[1] - 1 << 14)))
    at = image_bytes.index(b",\0\0\0\0") + 5 if name == "gif" else {"bmp": 18, "webp": 26}[name]
    return patched(image_bytes, at, struct.pack("<ii" if name == "bmp" else "<HH", *size))


LARGE = {
    "png": (20_000, 20_000),
    "jpeg": (60_000, 60_000),
    "gif": (65_535, 65_535),
    "bmp": (30_000, -30_000),
    "webp": (16_383, 16_383),
    "webp lossless": (16_000, 16_001),
    "webp with a profile": (2**24, 2**24),
}


@pytest.mark.parametrize("name", LARGE)
def test_an_image_too_large_is_refused_for_its_pixels_before_it_is_decoded(name):
    # There are no such pixels: decoding would fail for another reason.
    pixels = abs(LARGE[name][0] * LARGE[name][1])
    limit = f"image has {pixels} pixels, allowed are {MAX_PIXELS}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=limit):
        decode(sized(name, *LARGE[name]))


@pytest.mark.parametrize("name", LARGE)
def test_an_image_that_says_to_be_smaller_than_it_is_does_not_exceed_the_limit(name):
    image_bytes = sized(name, 5, 7)
    try:
        decoded = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(image_bytes)
    else:
        assert decoded.shape == (7, 5, 3)  # no more was unfolded than the header says


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_an_image_of_just_as_many_pixels_as_the_limit_is_decoded(format):
    image_bytes = encode(noise(20, 30), format)
    decode(image_bytes, max_pixels=600)
    with pytest.raises(tf.errors.InvalidArgumentError, match="600 pixels, allowed are 599"):
        decode(image_bytes, max_pixels=599)
