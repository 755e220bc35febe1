"""Image bytes to a square float image: against Pillow, and against files made to harm."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFile, ImageOps

from pipeline.config import MAX_PIXELS, RESIZE
from pipeline.drawn_pictures import Scene, draw
from pipeline.images.decode_image import Decoding, decode_image
from tfrecords_schema.image_formats import IMAGE_SUFFIXES

SIDE = 48
PICTURE = draw(Scene(2, "large", "red", "circle", "left"), np.random.default_rng(0), SIDE)
BILINEAR = Image.Resampling.BILINEAR
PILLOW = {
    "stretch": lambda image: image.resize((SIDE, SIDE), BILINEAR),
    "pad": lambda image: ImageOps.pad(image, (SIDE, SIDE), BILINEAR),
    "crop": lambda image: ImageOps.fit(image, (SIDE, SIDE), BILINEAR),
}


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(image_bytes):
    return Image.open(io.BytesIO(image_bytes))


def on_white(image):
    """The RGB pixels of `image`, transparent ones over white."""
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"), np.float32)


def with_alpha(mode):
    image = PICTURE.convert("RGBA")
    alpha = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def turned(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def palette(colors):
    return PICTURE.quantize(colors)


def noise(height, width):
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8))


def waves(height, width):
    """A picture whose detail is not lost where it is made small: some 6 to 9 waves a side."""
    x, y = (np.arange(size) / size for size in (width, height))
    colors = [
        np.sin(2 * np.pi * (k * x + 2 * np.sin(3 * y[:, None])))
        * np.cos(2 * np.pi * 6 * y[:, None])
        for k in (7, 8, 9)
    ]
    return Image.fromarray(np.uint8(np.round(127 + 120 * np.stack(colors, -1))))


def png(samples, bits=8, header=()):
    """The PNG of [height, width, channels] samples, or of another `header` with no pixels."""
    height, width, channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", *(header or (width, height)), bits, kind, 0, 0, 0)
    unpacked = (samples[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(unpacked.astype(np.uint8).reshape(height, -1), 1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    )


def samples(channels, bits):
    return np.random.default_rng(3).integers(0, 2**bits, (SIDE, SIDE, channels))


def patched(image_bytes, at, replacement):
    return image_bytes[:at] + replacement + image_bytes[at + len(replacement) :]


@functools.cache
def graph(**decoding):
    """decode_image, traced once, as the encoder's SavedModel has it."""
    decoding = Decoding(**{"side": SIDE, **decoding})
    return tf.function(
        lambda x: decode_image(x, decoding), [tf.TensorSpec([], tf.string)], autograph=False
    )


def decode(image_bytes, **decoding):
    image = graph(**decoding)(tf.constant(image_bytes)).numpy()
    assert (image.shape, image.dtype) == ((SIDE, SIDE, 3), np.float32)
    assert image.min() >= 0
    assert image.max() <= 255
    return image


IMAGES = {
    "jpeg": encode(PICTURE, "JPEG"),
    "jpeg of low quality": encode(PICTURE, "JPEG", quality=20),
    "jpeg without subsampling": encode(PICTURE, "JPEG", subsampling=0),
    "jpeg progressive": encode(PICTURE, "JPEG", progressive=True),
    "jpeg with restarts": encode(PICTURE, "JPEG", restart_marker_rows=1),
    "jpeg of rgb": encode(PICTURE, "JPEG", keep_rgb=True),
    "jpeg grey": encode(PICTURE.convert("L"), "JPEG"),
    "jpeg cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
    "png": encode(PICTURE, "PNG"),
    "png grey": encode(PICTURE.convert("L"), "PNG"),
    "png of 1 bit": encode(PICTURE.convert("1"), "PNG"),
    "png grey of 2 bits": png(samples(1, 2), 2),
    "png grey of 4 bits": png(samples(1, 4), 4),
    "png of a palette of 1 bit": encode(palette(2), "PNG"),
    "png of a palette of 2 bits": encode(palette(4), "PNG"),
    "png of a palette of 4 bits": encode(palette(16), "PNG"),
    "png of a palette of 8 bits": encode(palette(200), "PNG"),
    "png interlaced": encode(PICTURE, "PNG", interlace=1),
    "png rgba": encode(with_alpha("RGBA"), "PNG"),
    "png grey and alpha": encode(with_alpha("LA"), "PNG"),
    "png opaque rgba": encode(PICTURE.convert("RGBA"), "PNG"),
    "png of 4 bits, one color transparent": encode(palette(16), "PNG", transparency=0),
    "png of 8 bits, every color half transparent": encode(
        palette(200), "PNG", transparency=bytes(range(0, 200))
    ),
    "png grey, one grey transparent": encode(
        PICTURE.convert("L"), "PNG", transparency=PICTURE.convert("L").getpixel((0, 0))
    ),
    "png animated": encode(PICTURE, "PNG", save_all=True, append_images=[noise(SIDE, SIDE)]),
    "gif": encode(PICTURE, "GIF"),
    "gif transparent": encode(palette(16), "GIF", transparency=palette(16).getpixel((0, 0))),
    "gif animated": encode(PICTURE, "GIF", save_all=True, append_images=[noise(SIDE, SIDE)]),
    "bmp": encode(PICTURE, "BMP"),
    "bmp of 32 bits": encode(PICTURE.convert("RGBA"), "BMP"),
    "bmp grey": encode(PICTURE.convert("L"), "BMP"),
    "bmp of a palette": encode(palette(200), "BMP"),
    "bmp of a short palette": encode(palette(20), "BMP"),
    "webp": encode(PICTURE, "WEBP"),
    "webp lossless": encode(PICTURE, "WEBP", lossless=True),
    "webp with alpha": encode(with_alpha("RGBA"), "WEBP"),
    "webp lossless with alpha": encode(with_alpha("RGBA"), "WEBP", lossless=True),
    "webp with a profile": encode(PICTURE, "WEBP", icc_profile=b"profile"),
}


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


CUT = {
    "jpeg": encode(noise(100, 150), "JPEG"),
    "jpeg progressive": encode(noise(100, 150), "JPEG", progressive=True),
    "jpeg reduced": encode(noise(200, 300), "JPEG"),
    "png": encode(noise(100, 150), "PNG"),
    "gif": encode(noise(100, 150), "GIF"),
    "bmp": encode(noise(100, 150), "BMP"),
    "bmp grey": encode(noise(100, 150).convert("L"), "BMP"),
    "webp": encode(noise(100, 150), "WEBP"),
    "webp lossless": encode(noise(100, 150), "WEBP", lossless=True),
}


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


def test_a_batch_of_any_formats_is_decoded_one_after_the_other():
    batch = [*IMAGES.values(), *CUT.values()]
    decoded = tf.function(
        lambda x: tf.map_fn(graph(), x, parallel_iterations=1, fn_output_signature=tf.float32),
        autograph=False,
    )(tf.constant(batch))
    np.testing.assert_array_equal(decoded, [decode(image_bytes) for image_bytes in batch])
