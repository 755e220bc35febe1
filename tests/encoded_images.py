"""Image files for tests, encoded in every format, and the decoder that they are given to."""

import functools
import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline.drawn_pictures import Scene, draw
from pipeline.images.decode_image import Decoding, decode_image

SIDE = 48
PICTURE = draw(Scene(2, "large", "red", "circle", "left"), np.random.default_rng(0), SIDE)


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


def palette(colors):
    return PICTURE.quantize(colors)


def noise(height, width):
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8))


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
