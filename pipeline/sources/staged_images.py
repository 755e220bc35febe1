"""Copies images from containers without random access into a pack file.

    <staging>/<hash>.pack     the bytes of the images of one part, one after the other
    <staging>/<hash>.index    for each row's image: offset and length, two little-endian int64, and
                              16 bytes of the SHA-256 of its content

A source is read once, and later its images are opened one by one, in another order. A Parquet file
or a TFDS shard has no fast access to a single image, so the reader of a part copies its images
here. A job that resumes takes the positions from the index, and does not read images from the
container.

The index is renamed last, so a pack with an index is complete. If two workers read the same part at
once, they write the same bytes, so the later rename changes nothing. The hash includes the size and
the time of the container, so a changed container is staged again.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from pipeline.sources.files import byte_range, content_digest
from tfrecords_schema.atomic_file import complete_or_absent
from tfrecords_schema.errors import InputError, one_line

SPAN = struct.Struct("<qq16s")  # offset and length of an image in the pack, and its digest
NO_IMAGE = bytes(16)  # the digest of a row without an image
BLOCK_SPANS = 4096  # entries of the index that are read at once


class StagedRow(NamedTuple):
    """A row of a part, and the location of its image in the pack."""

    row: Any  # as in the container, without its image
    location: str  # location of the image's bytes; empty if the row has no image
    first: int  # the first row of the part, from 0, with this image
    content: str  # digest of the image; empty if the row has no image


def file_stamp(path: str) -> tuple[int, float]:
    """Size and time of the last change, which identify a version of a file.

    Raises:
      InputError: the file is missing.
    """
    try:
        metadata = FileSystems.get_filesystem(path).metadata(path)
    except BeamIOError as error:
        raise InputError(f"--input: {path}: {one_line(error)}") from error
    return metadata.size_in_bytes, metadata.last_updated_in_seconds or 0.0


def pack_path(staging: str, *identity: Any) -> str:
    """The path of the pack in the directory `staging` for `identity`, which is JSON values.

    The identity is the part and the stamp of its file. SHA-256 is the same in every process.
    """
    digest = hashlib.sha256(json.dumps(identity).encode("utf-8", "surrogateescape"))
    return os.path.join(staging, f"{digest.hexdigest()[:32]}.pack")


def stage_images(
    pack: str, read_rows: Callable[[bool], Iterable[tuple[Any, bytes | None]]]
) -> Iterator[StagedRow]:
    """Reads a part; the first time its images are copied to `pack`.

    An image that equals that of the row before, as when each of five captions has a row, is stored
    only once. At most two images are in memory at a time.

    Args:
      pack: see `pack_path`.
      read_rows: called with True it yields (row, image) of the part, called with False the same
        rows with None instead of the image.

    Yields:
      Every row, in order. The pack is complete only after the last row.

    Raises:
      InputError: the part has other rows than the staged ones.
      OSError: the pack cannot be written or read.
    """
    try:
        if tf.io.gfile.exists(_index_path(pack)):
            yield from _staged_before(pack, read_rows(False))
        else:
            yield from _staged_now(pack, read_rows(True))
    except tf.errors.OpError as error:
        raise OSError(f"{pack}: {one_line(error)}") from error


def _staged_now(pack: str, rows: Iterable[tuple[Any, bytes | None]]) -> Iterator[StagedRow]:
    tf.io.gfile.makedirs(os.path.dirname(pack))
    before: bytes | None = None
    end = offset = first = 0
    with (  # closed in reverse order: the pack is renamed before the index
        complete_or_absent(_index_path(pack)) as temporary_index,
        tf.io.gfile.GFile(temporary_index, "wb") as index,
        complete_or_absent(pack) as temporary_pack,
        tf.io.gfile.GFile(temporary_pack, "wb") as images,
    ):
        index.write(b"")  # without a write the file would not be created
        images.write(b"")
        digest = NO_IMAGE
        for i, (row, image) in enumerate(rows):
            image = image or b""
            if image != before:
                before, offset, first = image, end, i
                digest = bytes.fromhex(content_digest(image)) if image else NO_IMAGE
                images.write(image)
                end += len(image)
            index.write(SPAN.pack(offset, len(image), digest))
            yield _staged(row, pack, (offset, len(image), digest), first)


def _staged_before(pack: str, rows: Iterable[tuple[Any, bytes | None]]) -> Iterator[StagedRow]:
    spans = _read_index(pack)
    before, first, i = None, 0, -1
    for i, (row, _) in enumerate(rows):
        span = next(spans, None)
        if span is None:
            raise InputError(f"--input: {_CHANGED} {pack} has {i} of its rows")
        if span != before:
            before, first = span, i
        yield _staged(row, pack, span, first)
    if next(spans, None) is not None:
        raise InputError(f"--input: {_CHANGED} {pack} has more than its {i + 1} rows")


_CHANGED = "a file has changed since the job began, run again:"


def _read_index(pack: str) -> Iterator[tuple[int, int, bytes]]:
    with tf.io.gfile.GFile(_index_path(pack), "rb") as index:
        while block := index.read(BLOCK_SPANS * SPAN.size):
            yield from SPAN.iter_unpack(block)


def _staged(row: Any, pack: str, span: tuple[int, int, bytes], first: int) -> StagedRow:
    offset, length, digest = span
    location = byte_range(pack, offset, length) if length else ""
    return StagedRow(row, location, first, digest.hex() if length else "")


def _index_path(pack: str) -> str:
    return f"{pack.removesuffix('.pack')}.index"
