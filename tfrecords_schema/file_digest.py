"""The SHA-256 of a file."""

import hashlib
from typing import IO, Any

BLOCK = 1 << 20  # bytes read at a time


def sha256_of(file: IO[bytes] | Any) -> tuple[str, int]:
    """The hexadecimal SHA-256 and the size in bytes of an open binary file's contents."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
