"""The orientation of files: against Pillow, and of blocks that are damaged."""

import io
import struct
import zlib

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.images import exif
from pipeline.images.integers import file_bytes

PICTURE = Image.new("RGB", (8, 8), (200, 100, 50))
ORIENTATION, SHORT = 0x0112, 3


def tiff(orientation, order="<", before=(), directory_at=8, count=None):
    """A TIFF structure whose first directory has the tags `before` and the orientation."""
    tags = [*before, (ORIENTATION, orientation)]
    entries = b"".join(struct.pack(order + "HHIHH", tag, SHORT, 1, value, 0) for tag, value in tags)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory_at)
    number = struct.pack(order + "H", len(tags) if count is None else count)
    return start.ljust(directory_at, b"\0") + number + entries + bytes(4)


def encode(format, **options):
    buffer = io.BytesIO()
    PICTURE.save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


JFIF = encode("JPEG")[2:20]
AFTER_JFIF = encode("JPEG")[20:]


def jpeg(block, before=b""):
    """A JPEG whose first segments are `before`, then the Exif `block`."""
    return b"\xff\xd8" + before + segment(0xE1, b"Exif\0\0" + block) + AFTER_JFIF


def png(block, name=b"eXIf"):
    image_bytes = encode("PNG")
    chunk = name + block
    chunk = struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return image_bytes[:33] + chunk + image_bytes[33:]  # after the signature and the header


def webp(block, prefix=b""):
    return encode("WEBP", exif=prefix + block)


WRITERS = {"jpeg": jpeg, "png": png, "webp": webp}


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _orientations(image_bytes):
    data = file_bytes(image_bytes)
    return {
        "jpeg": exif.jpeg_orientation(image_bytes),
        "png": exif.png_orientation(data),
        "webp": exif.webp_orientation(data),
    }


def orientation(format, image_bytes):
    found = _orientations(image_bytes)[format]
    assert (found.shape, found.dtype) == ((), tf.int64)
    return int(found)


def pillows(image_bytes):
    return Image.open(io.BytesIO(image_bytes)).getexif().get(ORIENTATION, 1)


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", range(1, 9))
def test_the_orientation_is_that_of_pillow(format, order, value):
    tags = [(0x0100, 640), (0x0103, 6)]
    image_bytes = WRITERS[format](tiff(value, order, tags, directory_at=20))
    assert orientation(format, image_bytes) == pillows(image_bytes) == value


@pytest.mark.parametrize("format", WRITERS)
def test_the_orientation_is_read_among_the_tags_that_pillow_writes(format):
    tags = Image.Exif()
    tags.update({0x010F: "a maker", 0x0110: "a model", ORIENTATION: 7, 0x0132: "2020:01:01"})
    image_bytes = encode(format.upper(), exif=tags)
    assert orientation(format, image_bytes) == pillows(image_bytes) == 7


@pytest.mark.parametrize("format", WRITERS)
def test_an_image_without_exif_is_upright(format):
    assert orientation(format, encode(format.upper())) == 1


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("value", [0, 9, 255, 65_535])
@pytest.mark.parametrize("order", "<>")
def test_an_orientation_of_no_known_value_is_upright(format, value, order):
    assert orientation(format, WRITERS[format](tiff(value, order))) == 1


BEFORE = {
    "jfif": JFIF,
    "comment": segment(0xFE, b"a comment \xff\xdb and more"),
    "jfif and a profile": JFIF + segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(3_000)),
    "xmp": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "photoshop and adobe": segment(0xED, b"Photoshop 3.0\0") + segment(0xEE, b"Adobe" + bytes(7)),
    "empty segments": 50 * segment(0xEF, b""),
    "the largest segment": segment(0xE4, b"\xff" * 65_533),
}


@pytest.mark.parametrize("name", BEFORE)
def test_segments_before_that_of_exif_are_passed_over(name):
    image_bytes = jpeg(tiff(6, ">"), BEFORE[name])
    assert orientation("jpeg", image_bytes) == pillows(image_bytes) == 6


def test_chunks_before_that_of_exif_are_passed_over():
    image_bytes = png(tiff(6))
    chunk = image_bytes[33 : image_bytes.index(b"IDAT") - 4]
    text = b"tEXtkey\0value"
    text = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    image_bytes = image_bytes[:33] + 3 * text + chunk + image_bytes[33 + len(chunk) :]
    assert orientation("png", image_bytes) == pillows(image_bytes) == 6


def test_a_webp_may_keep_the_prefix_of_jpeg():
    assert orientation("webp", webp(tiff(8), prefix=b"Exif\0\0")) == 8


def test_what_looks_like_exif_elsewhere_is_not_read():
    block = tiff(6)
    assert orientation("jpeg", jpeg(tiff(1)) + segment(0xE1, b"Exif\0\0" + block)) == 1
    assert orientation("jpeg", b"\xff\xd8" + segment(0xE2, b"Exif\0\0" + block) + AFTER_JFIF) == 1
    assert orientation("png", png(block, name=b"eXIg")) == 1
    assert orientation("webp", encode("WEBP", icc_profile=b"EXIF" + block)) == 1


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize(
    "block",
    [
        b"", b"II", b"MM\0*", tiff(6)[:12], b"IM" + tiff(6)[2:], b"II\0*" + tiff(6)[4:],
        b"MM*\0" + tiff(6, ">")[4:], tiff(6)[:4] + b"\xff" * 4 + tiff(6)[8:],
        tiff(6)[:4] + b"\0\0\0\0" + tiff(6)[8:], tiff(6, count=0),
        tiff(1, count=65_535), tiff(1, ">", before=[(0x0100, 6)] * 30, count=65_535),
    ],
    ids=[
        "empty", "byte order", "no directory", "half an entry", "mixed order", "wrong number",
        "wrong number, big endian", "directory out of range", "directory that is the header",
        "no entries", "entries past the end", "more entries past the end",
    ],
)  # fmt: skip
def test_an_image_with_a_damaged_exif_block_is_upright(format, block):
    assert orientation(format, WRITERS[format](block or b"\0")) == 1


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=100).filter(lambda block: block[:4] not in (b"II*\0", b"MM\0*")))
def test_an_image_with_random_bytes_as_exif_block_is_upright(block):
    assert orientation("jpeg", jpeg(block)) == 1
    assert orientation("png", png(block)) == 1


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.integers(1, 120), st.sampled_from("<>"))
def test_damage_anywhere_gives_an_orientation_and_never_fails_or_hangs(noise, at, length, order):
    block = tiff(6, order)
    for format, image_bytes in [("jpeg", jpeg(block)), ("png", png(block)), ("webp", webp(block))]:
        damaged = image_bytes[:at] + noise + image_bytes[at + len(noise) :]
        assert 1 <= orientation(format, damaged) <= 8
        assert 1 <= orientation(format, damaged[:length]) <= 8


@pytest.mark.parametrize("order, value", [("<", 6), (">", 1)])
def test_bytes_that_a_file_no_longer_has_are_zero(order, value):
    block = tiff(6, order)
    end = block.index(struct.pack(order + "H", 6)) + 1  # the first of two bytes
    assert orientation("jpeg", jpeg(block)[: 12 + end]) == value


def test_wrong_lengths_of_segments_end_the_search_for_exif():
    image_bytes = jpeg(tiff(6), before=JFIF)
    assert orientation("jpeg", image_bytes[:4] + b"\0\0" + image_bytes[6:]) == 1
    assert orientation("jpeg", image_bytes[:4] + b"\xff\xff" + image_bytes[6:]) == 1
    chunk = png(tiff(6))
    assert orientation("png", chunk[:8] + b"\xff" * 4 + chunk[12:]) == 1
    assert orientation("webp", webp(tiff(6))[:16] + b"\xff" * 4 + webp(tiff(6))[20:]) == 1


@pytest.mark.parametrize("segments, value", [(990, 6), (1_010, 1)])
def test_exif_is_looked_for_in_a_thousand_segments(segments, value):
    image_bytes = jpeg(tiff(6), before=segments * segment(0xFE, b""))
    assert orientation("jpeg", image_bytes) == value
