"""Image bytes to a square float image: against Pillow, and against files made to harm."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.decode_image import PNG_SIGNATURE, decode_image, image_shape
from pipeline.drawn_pictures import Scene, draw

SIDE = 48
MAX_PIXELS = 50_000_000
PICTURE = draw(Scene(2, "large", "red", "circle", "left"), np.random.default_rng(0), SIDE)


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


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


def palette(colors):
    return PICTURE.quantize(colors)


def noise(height, width):
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8))


def png_header(width, height):
    """A PNG that says it is this large and holds no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def jpeg_header(width, height):
    """A small JPEG whose header says it is this large."""
    jpeg = encode(PICTURE, "JPEG")
    frame = jpeg.index(b"\xff\xc0")  # marker, length, precision, then height and width
    return jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]


@pytest.fixture(scope="module")
def decode():
    """decode_image, traced and run once, as the encoder's SavedModel has it."""
    graph = tf.function(
        lambda image_bytes: decode_image(image_bytes, SIDE, MAX_PIXELS),
        [tf.TensorSpec([], tf.string)],
    )
    graph(tf.constant(encode(PICTURE, "PNG")))
    return lambda image_bytes: graph(tf.constant(image_bytes)).numpy()


LOSSLESS = {
    "png": encode(PICTURE, "PNG"),
    "png grey": encode(PICTURE.convert("L"), "PNG"),
    "png of 1 bit": encode(PICTURE.convert("1"), "PNG"),
    "png of a palette of 1 bit": encode(palette(2), "PNG"),
    "png of a palette of 2 bits": encode(palette(4), "PNG"),
    "png of a palette of 4 bits": encode(palette(16), "PNG"),
    "png of a palette of 8 bits": encode(palette(200), "PNG"),
    "png interlaced": encode(PICTURE, "PNG", interlace=1),
    "png rgba": encode(with_alpha("RGBA"), "PNG"),
    "png grey and alpha": encode(with_alpha("LA"), "PNG"),
    "png opaque rgba": encode(PICTURE.convert("RGBA"), "PNG"),
    "png of 4 bits, one colour transparent": encode(palette(16), "PNG", transparency=0),
    "png of 8 bits, every colour half transparent": encode(
        palette(200), "PNG", transparency=bytes(range(0, 200))
    ),
    "png grey, one grey transparent": encode(
        PICTURE.convert("L"), "PNG", transparency=PICTURE.convert("L").getpixel((0, 0))
    ),
    "bmp": encode(PICTURE, "BMP"),
    "bmp of 32 bits": encode(PICTURE.convert("RGBA"), "BMP"),
}
LOSSY = {
    "jpeg": encode(PICTURE, "JPEG", quality=95),
    "jpeg of low quality": encode(PICTURE, "JPEG", quality=20),
    "jpeg without subsampling": encode(PICTURE, "JPEG", subsampling=0),
    "jpeg progressive": encode(PICTURE, "JPEG", progressive=True),
    "jpeg grey": encode(PICTURE.convert("L"), "JPEG"),
    "jpeg cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_images_decode_as_pillow_has_them(decode, name):
    expected = on_white(Image.open(io.BytesIO(LOSSLESS[name])))
    assert np.abs(decode(LOSSLESS[name]) - expected).max() <= 1


@pytest.mark.parametrize("name", LOSSY)
def test_jpegs_decode_as_pillow_has_them_but_for_a_few_levels(decode, name):
    difference = np.abs(decode(LOSSY[name]) - on_white(Image.open(io.BytesIO(LOSSY[name]))))
    assert difference.max() <= 16  # where colour is subsampled
    assert difference.mean() <= 2  # TensorFlow's transform is the fast one


def test_a_grey_png_of_16_bits_keeps_its_upper_8(decode):
    greys = np.random.default_rng(3).integers(0, 2**16, (SIDE, SIDE), np.uint16)
    decoded = decode(encode(Image.fromarray(greys), "PNG"))
    assert np.abs(decoded - greys[..., None] / 257).max() <= 1


@pytest.mark.parametrize("name", {**LOSSLESS, **LOSSY})
def test_an_image_is_three_floats_a_pixel_between_0_and_255(decode, name):
    image = decode({**LOSSLESS, **LOSSY}[name])
    assert (image.shape, image.dtype) == ((SIDE, SIDE, 3), np.float32)
    assert image.min() >= 0
    assert image.max() <= 255
    assert image.max() - image.min() > 40  # and is a picture


@pytest.mark.parametrize("height, width", [(SIDE * 4, SIDE * 4), (200, 300), (301, 97)])
def test_a_fine_checkerboard_becomes_grey(decode, height, width):
    board = (np.indices((height, width)).sum(0) % 2 * 255).astype(np.uint8)
    image = decode(encode(Image.fromarray(board), "PNG"))
    assert image.shape == (SIDE, SIDE, 3)
    assert np.abs(image - 127.5).max() < 10


@pytest.mark.parametrize("height, width", [(SIDE // 2, SIDE // 2), (30, 90), (1, 1), (200, 1)])
def test_images_of_any_shape_are_stretched_to_the_side(decode, height, width):
    image = Image.new("RGB", (width, height), (200, 100, 50))
    np.testing.assert_allclose(
        decode(encode(image, "PNG")), np.full((SIDE, SIDE, 3), (200, 100, 50)), atol=0.01
    )


def test_resizing_does_not_leave_the_range(decode):
    image = decode(encode(noise(131, 77), "PNG"))
    assert image.min() >= 0
    assert image.max() <= 255


def test_resizing_is_that_of_pillow(decode):
    large = draw(Scene(3, "small", "blue", "bar", "top"), np.random.default_rng(4), 4 * SIDE)
    expected = np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(decode(encode(large, "PNG")) - expected).max() <= 2


@pytest.mark.parametrize(
    "image_bytes, reason",
    [
        (b"", "not a JPEG, PNG or BMP image"),
        (b"this is a text and no image, however it is called", "not a JPEG"),
        (b"\x00" * 100, "not a JPEG"),
        (encode(PICTURE, "TIFF"), "not a JPEG"),
        (encode(PICTURE, "WEBP"), "not a JPEG"),
        (encode(PICTURE, "GIF"), "not a JPEG"),
        (encode(palette(16), "BMP"), "BMP with a palette"),
    ],
    ids=["empty", "text", "zeros", "tiff", "webp", "gif", "bmp of a palette"],
)
def test_what_is_no_image_we_read_is_refused_with_the_reason(decode, image_bytes, reason):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decode(image_bytes)


CUT = {
    "jpeg": encode(noise(100, 150), "JPEG"),
    "jpeg progressive": encode(noise(100, 150), "JPEG", progressive=True),
    "png": encode(noise(100, 150), "PNG"),
    "bmp": encode(noise(100, 150), "BMP"),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_a_truncated_image_is_refused(decode, name, fraction):
    decode(CUT[name])
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(CUT[name][: int(len(CUT[name]) * fraction)])


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9, 10, 13, 20, 24, 25, 26, 29, 30, 33])
def test_a_file_cut_within_its_header_is_refused(decode, name, length):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(CUT[name][:length])


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_an_image_overwritten_with_noise_decodes_or_is_refused(decode, name):
    rng = np.random.default_rng(5)
    for _ in range(30):
        image_bytes = bytearray(CUT[name])
        for at in rng.integers(0, len(image_bytes), 4):
            image_bytes[at] = rng.integers(256)
        try:
            assert decode(bytes(image_bytes)).shape == (SIDE, SIDE, 3)
        except tf.errors.InvalidArgumentError as error:
            assert str(error)


@pytest.mark.parametrize(
    "image_bytes, pixels",
    [
        (png_header(20_000, 20_000), 400_000_000),
        (png_header(2**31 - 1, 2**31 - 1), (2**31 - 1) ** 2),
        (encode(Image.new("1", (10_000, 10_000)), "PNG"), 100_000_000),
        (jpeg_header(60_000, 60_000), 3_600_000_000),
        (b"BM" + bytes(16) + struct.pack("<iiHH", 30_000, -30_000, 1, 24), 900_000_000),
    ],
    ids=["png header", "largest png header", "real png", "jpeg header", "bmp header"],
)
def test_an_image_too_large_is_refused_for_its_pixels_before_it_is_decoded(
    decode, image_bytes, pixels
):
    # Most are headers alone: decoding them would fail for another reason.
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image has {pixels} pixels"):
        decode(image_bytes)


@pytest.mark.parametrize(
    "image_bytes", [png_header(0, 5), png_header(2**32 - 1, 5), png_header(2**32 - 1, 2**32 - 1)]
)
def test_impossible_sizes_are_refused(decode, image_bytes):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(image_bytes)


def test_the_limit_itself_is_allowed():
    image_bytes = tf.constant(encode(noise(20, 30), "PNG"))
    assert decode_image(image_bytes, SIDE, 600).shape == (SIDE, SIDE, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="600 pixels, allowed are 599"):
        decode_image(image_bytes, SIDE, 599)


@pytest.mark.parametrize("name", CUT)
def test_the_shape_is_read_from_the_header(name):
    assert [int(size) for size in image_shape(tf.constant(CUT[name]))] == [100, 150]


def test_a_bmp_with_rows_from_the_top_has_a_positive_height():
    upside_down = bytearray(CUT["bmp"])
    upside_down[22:26] = struct.pack("<i", -100)
    assert [int(size) for size in image_shape(tf.constant(bytes(upside_down)))] == [100, 150]


@pytest.mark.parametrize("image_bytes", [b"", b"text", PNG_SIGNATURE, b"GIF89a", b"BM"])
def test_what_has_no_header_has_no_shape(image_bytes):
    assert [int(size) for size in image_shape(tf.constant(image_bytes))] == [0, 0]
