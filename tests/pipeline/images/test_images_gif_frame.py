"""The first frame of a GIF: against Pillow, and of files made to harm."""

import io
import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.images import gif_frame
from pipeline.images.integers import file_bytes

SIDE = 40
RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).quantize(64)
OTHERS = [PICTURE.rotate(angle) for angle in (90, 180, 270)]


def encode(image=PICTURE, **options):
    buffer = io.BytesIO()
    image.save(buffer, "GIF", **options)
    return buffer.getvalue()


def pixels(image_bytes):
    return np.asarray(Image.open(io.BytesIO(image_bytes)).convert("RGB"))


def gif(frame_at=(0, 0), local=b"", before=b"", screen=(2, 2), global_colors=b""):
    """A GIF of 2 x 2 pixels, the colors 0, 1, 2 and 3 of its 4."""
    has_global, has_local = (0x81 if colors else 0 for colors in (global_colors, local))
    blocks = bytes([2, 3, 0x44, 0x34, 0x05, 0])  # code size; clear, 0, 1, 2, 3 and end; no more
    return (
        b"GIF89a" + struct.pack("<HHBBB", *screen, has_global, 0, 0) + global_colors + before
        + b"," + struct.pack("<HHHHB", *frame_at, 2, 2, has_local) + local + blocks + b";"
    )  # fmt: skip


COLORS = bytes([10, 11, 12, 40, 41, 42, 70, 71, 72, 100, 101, 102])
OTHER_COLORS = bytes(250 - color for color in COLORS)


def control(transparent, has_transparent=True):
    return b"!\xf9\x04" + bytes([has_transparent, 0, 0, transparent, 0])


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _first(image_bytes):
    return gif_frame.only_first_frame(image_bytes, file_bytes(image_bytes))


def first(image_bytes):
    """The GIF that is the first frame alone."""
    return _first(image_bytes).numpy()


def decoded(image_bytes):
    return tf.io.decode_gif(first(image_bytes)).numpy()


def colors_of(colors):
    return np.frombuffer(colors, np.uint8).reshape(2, 2, 3)


GIFS = {
    "interlaced": encode(interlace=1),
    "not interlaced": encode(interlace=0),
    "of 2 colors": encode(PICTURE.convert("1")),
    "grey": encode(PICTURE.convert("L")),
    "with a comment": encode(comment=b"before the frame, " * 100),
    "animated": encode(save_all=True, append_images=OTHERS, loop=0, duration=50),
    "with local colors": encode(save_all=True, append_images=OTHERS, include_color_table=True),
    "with text that is shown": gif(before=b"!\x01\x0c" + bytes(12) + b"\0", global_colors=COLORS),
}


@pytest.mark.parametrize("name", GIFS)
def test_the_first_frame_is_that_of_pillow(name):
    assert Image.open(io.BytesIO(first(GIFS[name]))).n_frames == 1
    np.testing.assert_array_equal(decoded(GIFS[name])[0], pixels(GIFS[name]))


def test_of_an_animation_only_the_first_frame_is_left():
    animation = encode(save_all=True, append_images=OTHERS)
    assert Image.open(io.BytesIO(animation)).n_frames == 4
    assert len(first(animation)) < 0.3 * len(animation)
    assert decoded(animation).shape == (1, SIDE, SIDE, 3)


def test_the_colors_of_the_frame_go_before_those_of_the_file():
    image = decoded(gif(local=OTHER_COLORS, global_colors=COLORS))[0]
    np.testing.assert_array_equal(image, colors_of(OTHER_COLORS))


@pytest.mark.parametrize("color", range(4))
@pytest.mark.parametrize("tables", ["global", "local", "both"])
def test_a_transparent_color_becomes_white(color, tables):
    local = OTHER_COLORS if tables != "global" else b""
    image_bytes = gif(
        before=control(color), local=local, global_colors=COLORS if tables != "local" else b""
    )
    expected = colors_of(local or COLORS).copy()
    expected.reshape(-1, 3)[color] = 255
    np.testing.assert_array_equal(decoded(image_bytes)[0], expected)


@pytest.mark.parametrize(
    "before",
    [control(2, False), control(4), control(255), control(1) + control(2, False), b"!\xff\0"],
    ids=["not set", "beyond the colors", "far beyond", "taken back", "of no blocks"],
)
def test_a_gif_without_a_transparent_color_keeps_all_its_colors(before):
    image_bytes = gif(before=before, global_colors=COLORS)
    np.testing.assert_array_equal(decoded(image_bytes)[0], colors_of(COLORS))


def test_a_transparent_color_of_a_later_frame_does_not_count():
    image_bytes = gif(global_colors=COLORS)[:-1] + control(1) + gif()[13:]
    np.testing.assert_array_equal(decoded(image_bytes)[0], colors_of(COLORS))


@pytest.mark.parametrize("frame_at, screen", [((5, 7), (2, 2)), ((1, 1), (9, 9)), ((0, 0), (1, 1))])
def test_a_frame_is_all_of_the_image_wherever_it_lies(frame_at, screen):
    image_bytes = gif(frame_at=frame_at, screen=screen, global_colors=COLORS)
    np.testing.assert_array_equal(decoded(image_bytes)[0], colors_of(COLORS))


def test_a_gif_with_thousands_of_large_frames_costs_the_time_of_one_frame():
    one = encode(Image.new("L", (1_000, 1_000), 9))
    frame = one[one.index(b",\0\0\0\0") : -1]
    bomb = one[:-1] + 5_000 * frame + b";"  # 15 GB unfolded
    assert len(bomb) > 1_000_000
    start = time.perf_counter()
    assert decoded(bomb).shape == (1, 1_000, 1_000, 3)
    assert len(first(bomb)) <= len(one)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("name", ["interlaced", "animated"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_gif_with_a_truncated_first_frame_is_refused(name, kept):
    end = len(first(GIFS[name])) - 1
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(GIFS[name][: int(end * kept)])


def test_a_gif_that_ends_after_its_first_frame_is_read():
    np.testing.assert_array_equal(decoded(GIFS["grey"][:-1])[0], pixels(GIFS["grey"]))


@pytest.mark.parametrize(
    "image_bytes",
    [b"GIF89a", gif()[:13], gif()[:13] + b";", gif()[:13] + control(1), gif()[:20], gif()],
    ids=["signature", "header", "no frame", "control only", "half a descriptor", "no colors"],
)
def test_a_gif_without_a_frame_or_colors_is_refused(image_bytes):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(image_bytes)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 90), st.integers(0, 90))
def test_damage_never_fails_or_hangs_before_the_gif_is_decoded(noise, at, length):
    intact = gif(before=control(1), local=OTHER_COLORS, global_colors=COLORS)
    damaged = (intact[:at] + noise + intact[at + len(noise) :])[:length]
    assert len(first(damaged)) <= len(damaged) + 9  # separator and place, trailer, white
