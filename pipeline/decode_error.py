"""Why an image cannot be decoded, in words that say what to do."""

from pipeline.decode_image import JPEG_END
from pipeline.image_header import JPEG_SIGNATURE
from tfrecords_schema.errors import one_line

# Name -> how such files begin: bytes and where they are.
_OTHER_FORMATS = {
    "AVIF": [(b"ftypavif", 4), (b"ftypavis", 4)],
    "HEIC": [(b"ftyp" + brand, 4) for brand in (b"hei", b"hev", b"mif1", b"msf1")],
    "TIFF": [(b"II*\0", 0), (b"MM\0*", 0), (b"II+\0", 0), (b"MM\0+", 0)],
    "JPEG XL": [(b"\xff\x0a", 0), (b"JXL \r\n\x87\n", 4)],
    "JPEG 2000": [(b"jP  \r\n\x87\n", 4), (b"\xff\x4f\xff\x51", 0)],
    "PSD": [(b"8BPS", 0)],
    "PDF": [(b"%PDF", 0)],
}
_AFTER_END = 1000  # bytes: some cameras write a little after the end of a JPEG
_TEXT_BYTES = 1000  # of the beginning of a file


def explain(content: bytes, error: Exception) -> Exception:
    """`error`, or a ValueError that says more.

    Args:
      content: the file that was refused.
      error: as it was.
    """
    if name := other_format(content):
        return ValueError(f"{name} is not read: convert it to JPEG or PNG")
    # Not by decoding it again: libjpeg writes what it finds straight to the screen.
    if content.startswith(JPEG_SIGNATURE) and JPEG_END not in content[-_AFTER_END:]:
        reason = f"{one_line(error)}: a JPEG without its end"
        return ValueError(f"{reason}; --allow_truncated may take it, grey from there on")
    return error


def other_format(content: bytes) -> str:
    """The name of a format that we do not read; empty if it is none that we know."""
    for name, signatures in _OTHER_FORMATS.items():
        if any(content.startswith(signature, at) for signature, at in signatures):
            return name
    text = content[:_TEXT_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return "SVG"
    return "HTML, a web page," if text.startswith((b"<!doctype html", b"<html")) else ""
