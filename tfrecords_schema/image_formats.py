"""The formats of images: one list for sources, decoder and export."""

from tfrecords_schema.errors import InputError

# What the names of image files end in -> the format, as a person calls it.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WebP",
}  # fmt: skip
IMAGE_SUFFIXES = tuple(FORMATS)
# Those that are decoded, in the order in which an image encoder counts them.
JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
FORMAT_NAMES = tuple(dict.fromkeys(FORMATS.values()))
# What every TensorFlow that an export runs on can decode.
DEFAULT_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
# Pictures too, but none that the decoder reads. They are rejected by name.
OTHER_FORMATS = {
    ".avif": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".tif": "TIFF", ".tiff": "TIFF",
    ".jxl": "JPEG XL", ".jp2": "JPEG 2000",
}  # fmt: skip


def listed(names: tuple[str, ...]) -> str:
    """`JPEG, PNG or GIF`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def parse_formats(text: str) -> tuple[str, ...]:
    """The value of `--formats`, names separated by commas, as those of FORMAT_NAMES.

    Raises:
      InputError: a name is none of them, or there is none.
    """
    by_name = {name.lower(): name for name in FORMAT_NAMES}
    asked = {name.strip().lower() for name in text.split(",")} - {""}
    if not asked or asked - by_name.keys():
        raise InputError(f"--formats={text} must be some of: {','.join(by_name)}")
    return tuple(name for key, name in by_name.items() if key in asked)
