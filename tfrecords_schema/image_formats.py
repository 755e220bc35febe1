"""The image formats, one list for sources, decoder and export."""

from tfrecords_schema.errors import InputError

# Suffix of image files -> the usual name of the format.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WebP",
}  # fmt: skip
IMAGE_SUFFIXES = tuple(FORMATS)
# The decoded formats, in the order of the image encoder's format numbers.
JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
FORMAT_NAMES = tuple(dict.fromkeys(FORMATS.values()))
# The formats that every TensorFlow that an export runs on can decode.
DEFAULT_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
# Image formats that the decoder cannot read. They are rejected by name.
OTHER_FORMATS = {
    ".avif": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".tif": "TIFF", ".tiff": "TIFF",
    ".jxl": "JPEG XL", ".jp2": "JPEG 2000",
}  # fmt: skip


def listed(names: tuple[str, ...]) -> str:
    """The names as `JPEG, PNG or GIF`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def parse_formats(text: str) -> tuple[str, ...]:
    """The value of `--formats`, names separated by commas, in the spelling of FORMAT_NAMES.

    Raises:
      InputError: there is no name, or one that is not in FORMAT_NAMES.
    """
    by_name = {name.lower(): name for name in FORMAT_NAMES}
    asked = {name.strip().lower() for name in text.split(",")} - {""}
    if not asked or asked - by_name.keys():
        raise InputError(f"--formats={text} must be some of: {','.join(by_name)}")
    return tuple(name for key, name in by_name.items() if key in asked)
