"""Shards of WebDataset: tar files whose neighbouring members of one key are a sample.

    train-000007.tar
        000070012.jpg        the key is the path up to the first dot of the name
        000070012.txt        a caption a line
        000070012.json       {"caption": "...", ...}, a text or a list; used where there is no .txt

The tar is read by its headers, and the images are later read where they lie in it, so it must not
be compressed. Keys may start anew in every tar: an image's id is <tar>/<key>. The split is a word
in the name of every tar, or the whole name of its directory, or else of none. Members whose name
has no dot, or begins with one, belong to no sample.
"""

import functools
import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources.files import IMAGE_SUFFIXES, byte_range, find_files, open_raw
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.table_rows import ROW_ORDERS, SPLIT_NAMES, short_names, show, with_captions
from tfrecords_schema.errors import InputError, one_line

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class Member(NamedTuple):
    """A file in a tar."""

    key: str
    field: str  # what follows the first dot, lower case
    name: str
    offset: int
    size: int
    text: bytes  # of .txt and .json; other members are not read


def find_webdataset(path: str, caption_column: str) -> Source:
    """Finds the tar files.

    Args:
      path: a file, a pattern, or a directory of files.
      caption_column: the key of the captions in .json.

    Raises:
      InputError: there is none, one is compressed, or some are of a split and others of none.
    """
    files = find_files(path, (".tar", *COMPRESSED))
    for file in files:
        if not file.lower().endswith(".tar"):
            raise InputError(
                f"--input: {file} is compressed, so that its images cannot be read one by one: "
                "unpack it to a .tar first"
            )
    splits = [split_of(file) for file in files]
    if "" in splits and any(splits):
        named, other = files[next(i for i, s in enumerate(splits) if s)], files[splits.index("")]
        raise InputError(
            f"--input: {named} names a split and {other} none: name the split of every tar, as in "
            "train-000000.tar, or of none"
        )
    names = [name[: -len(".tar")] for name in short_names(files)]
    read = functools.partial(read_tar, caption_column=caption_column)
    return Source(list(zip(files, names, splits, strict=True)), read, path, path, any(splits))


def split_of(path: str) -> str:
    """The split that a word in the name of a tar says, or else its directory's name, or ''.

    Raises:
      InputError: a name says two.
    """
    *_, folder, name = ["", *path.split("/")]
    words = re.findall("[a-z]+", name.lower())
    splits = sorted({SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES})
    if len(splits) > 1:
        raise InputError(f"--input: {path}: {name} names the splits {' and '.join(splits)}")
    return splits[0] if splits else SPLIT_NAMES.get(folder.lower(), "")


def read_tar(part: tuple[str, str, str], caption_column: str) -> Iterator[Mention | Reject]:
    """Reads one tar.

    Args:
      part: (file, its short name without suffix, split).
      caption_column: see `find_webdataset`.

    Yields:
      The mentions and rejects of each sample; a sample without an image has no URI.

    Raises:
      InputError: it is no tar, or is cut off or damaged; the last whole member is named.
    """
    path, name, split = part
    samples = itertools.groupby(read_members(path), lambda member: member.key)
    for i, (key, members) in enumerate(samples):
        sample = list(members)
        image_id = printable(f"{name}/{key}")
        images = [m for m in sample if f".{m.field}".endswith(IMAGE_SUFFIXES)]
        mentions = [
            Mention(
                image_id,
                split,
                uri=printable(f"{path}/{image.name}"),
                location=byte_range(path, image.offset, image.size),
            )
            for image in images
        ] or [Mention(image_id, split)]
        yield from mentions[1:]  # another file of the image, which the join reports
        captioned = mentions[0]._replace(caption_id=image_id, order=i * ROW_ORDERS)
        try:
            captions = captions_of(sample, caption_column)
        except ValueError as error:
            yield reject(image_id, path, UNASSIGNED, CAPTION, error)
            captions = None
        if captions is None:
            yield mentions[0]
        else:
            yield from with_captions(captioned, captions, path)


def captions_of(sample: list[Member], caption_column: str) -> Any:
    """The text or texts of a sample; None where it has neither .txt nor .json.

    Raises:
      ValueError: the .json cannot be parsed, or has no such key.
    """
    texts = [member.text for member in sample if member.field == "txt"]
    if texts:
        lines = b"\n".join(texts).decode("utf-8-sig", "surrogateescape").split("\n")
        return [line for line in lines if line.strip()]
    for member in sample:
        if member.field == "json":
            name = printable(member.name)
            try:
                values = json.loads(member.text.decode("utf-8-sig", "surrogateescape"))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{name} is not JSON: {one_line(error)}") from error
            if not isinstance(values, dict) or caption_column not in values:
                raise ValueError(f"{name} has no {caption_column!r}: {show(values)}")
            return values[caption_column] or ""  # null is an empty caption
    return None


def read_members(path: str) -> Iterator[Member]:
    """The files of a tar which have a key.

    Raises:
      InputError: see `read_tar`.
    """
    whole, name = "its start", ""
    try:
        with open_raw(path) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
            while (member := tar.next()) is not None:  # fails where the data before it are cut off
                tar.members.clear()  # type: ignore[attr-defined]  # or it keeps all headers
                whole, name = name or whole, printable(member.name)
                folder, slash, base = member.name.rpartition("/")
                stem, _, field = base.partition(".")
                if not (member.isreg() and stem and field):
                    continue
                key, field, text = f"{folder}{slash}{stem}", field.lower(), b""
                if field in ("txt", "json"):
                    text = tar.extractfile(member).read()  # type: ignore[union-attr]
                yield Member(key, field, member.name, member.offset_data, member.size, text)
            whole = name or whole
            # tarfile takes a header that it cannot read for the end, in silence.
            raw.seek(tar.offset)
            if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it has no end mark")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise InputError(
            f"--input: {path} is not a whole tar file: {one_line(error)}, after {whole}"
        ) from error
