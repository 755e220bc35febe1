"""The formats of images: one list for sources, decoder and export."""

# What the names of image files end in -> the format, as a person calls it.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WebP",
}  # fmt: skip
IMAGE_SUFFIXES = tuple(FORMATS)
# Those that are decoded, in the order in which an image encoder counts them.
JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
FORMAT_NAMES = tuple(dict.fromkeys(FORMATS.values()))
# Pictures too, but none that the decoder reads. They are rejected by name.
OTHER_FORMATS = {
    ".avif": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".tif": "TIFF", ".tiff": "TIFF",
    ".jxl": "JPEG XL", ".jp2": "JPEG 2000",
}  # fmt: skip


def listed(names: tuple[str, ...]) -> str:
    """`JPEG, PNG or GIF`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
