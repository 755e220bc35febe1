"""Images out of containers without random access, laid side by side in a file of their own.

    <staging>/<hash>.pack     the bytes of the images of one part, one after the other
    <staging>/<hash>.index    of every row's image: offset and length, two int64 with the low byte
                              first, and 16 bytes of the SHA-256 of its content

A source is read once, and then its images are opened one by one, in another order. A Parquet file
or a TFDS shard gives its images only in its own order and many at a time, so whoever reads a part
copies them here. A job that was killed and goes on takes the places from the index and leaves the
images in the container alone.

The index is renamed last: a pack that has an index is whole, whatever was killed. Two workers that
read the same part at once write the same bytes, and the later rename changes nothing. The name
holds the size and the time of the container, so that one which has changed is staged anew.
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
NO_IMAGE = bytes(16)  # the digest of a row without one
BLOCK_SPANS = 4096  # of the index are read at once


class StagedRow(NamedTuple):
    """A row of a part and where its image is now."""

    row: Any  # as the container has it, without its image
    location: str  # of the image's bytes; empty where the row has none
    first: int  # row of the part, from 0, that this image was first seen in
    content: str  # digest of the image; empty where the row has none


def file_stamp(path: str) -> tuple[int, float]:
    """Size and time of last change, by which a file that was changed is told.

    Raises:
      InputError: it is not there.
    """
    try:
        metadata = FileSystems.get_filesystem(path).metadata(path)
    except BeamIOError as error:
        raise InputError(f"--input: {path}: {one_line(error)}") from error
    return metadata.size_in_bytes, metadata.last_updated_in_seconds or 0.0


def pack_path(staging: str, *identity: Any) -> str:
    """The pack in the directory `staging` for what `identity`, JSON values, says.

    That is the part and the stamp of its file. SHA-256, to be the same in every process.
    """
    digest = hashlib.sha256(json.dumps(identity).encode("utf-8", "surrogateescape"))
    return os.path.join(staging, f"{digest.hexdigest()[:32]}.pack")


def stage_images(
    pack: str, read_rows: Callable[[bool], Iterable[tuple[Any, bytes | None]]]
) -> Iterator[StagedRow]:
    """Reads a part; the first time its images go to `pack`.

    An image that is equal to that of the row before, as where each of five captions has a row, is
    stored once and counts as the same. No more than two images are held at a time.

    Args:
      pack: see `pack_path`.
      read_rows: called with True gives (row, image) of the part, called with False the same rows
        with None for the image, which then need not be read.

    Yields:
      Every row, in its order. The pack is there only when all of them were taken.

    Raises:
      InputError: the part has other rows than those that were staged.
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
    with (  # left in the opposite order: the pack is closed and renamed, then the index
        complete_or_absent(_index_path(pack)) as temporary_index,
        tf.io.gfile.GFile(temporary_index, "wb") as index,
        complete_or_absent(pack) as temporary_pack,
        tf.io.gfile.GFile(temporary_pack, "wb") as images,
    ):
        index.write(b"")  # a file that nothing is written to would not be made
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
