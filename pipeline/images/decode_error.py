"""Explains why an image cannot be decoded, and what to do about it."""

from pipeline.images.image_fault import AFTER_END, JPEG_END, NOT_READ, OTHER_SIGNATURES
from pipeline.images.image_header import JPEG_SIGNATURE
from tfrecords_schema.errors import one_line

_TEXT_BYTES = 1000  # searched at the beginning of a file


def explain(content: bytes, error: Exception) -> Exception:
    """`error`, or a ValueError with a better explanation.

    Args:
      content: the file that was rejected.
      error: the error of the decoder.
    """
    if name := other_format(content):
        return ValueError(NOT_READ.format(name))
    # The image is not decoded again: libjpeg writes its findings directly to standard error.
    if content.startswith(JPEG_SIGNATURE) and JPEG_END not in content[-AFTER_END:]:
        reason = f"{one_line(error)}: a JPEG without its end"
        return ValueError(f"{reason}; --allow_truncated may take it, grey from there on")
    return error


def other_format(content: bytes) -> str:
    """The name of a known format that the decoder does not read; else empty."""
    for name, signatures in OTHER_SIGNATURES.items():
        if any(content.startswith(signature, at) for signature, at in signatures):
            return name
    text = content[:_TEXT_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return "SVG"
    return "HTML, a web page," if text.startswith((b"<!doctype html", b"<html")) else ""
