"""The formats of images: one list, for the readers of sources and for the decoder."""

# What the names of image files end in -> the format, as a person calls it.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WebP",
}  # fmt: skip
IMAGE_SUFFIXES = tuple(FORMATS)
# Pictures too, but none that the decoder reads. They are rejected by name.
OTHER_FORMATS = {
    ".avif": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".tif": "TIFF", ".tiff": "TIFF",
    ".jxl": "JPEG XL", ".jp2": "JPEG 2000",
}  # fmt: skip
