"""The fingerprint of a file."""

import hashlib
from typing import IO, Any

BLOCK = 1 << 20  # bytes in memory


def sha256_of(file: IO[bytes] | Any) -> tuple[str, int]:
    """The hexadecimal SHA-256 and the size in bytes of what an open binary file holds."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
