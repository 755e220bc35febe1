"""The source `webdataset`: tar files whose neighbouring members with one key are a sample.

    train-000007.tar
        000070012.jpg        the key is the path up to the first dot of the name, then the field
        000070012.txt        a caption a line
        000070012.json       {"caption": "...", ...}, a text or a list; used if there is no .txt

The tar is read by its headers, and the images are read later from their positions in it, so it must
not be compressed. Keys may repeat in other tars: an image's id is <tar>/<key>. The image is the
field named exactly as a format, `jpg`, not `depth.jpg`; of two such fields a flag selects one. The
split is a word in the name of each tar, or the whole name of its directory, or there is none.
Members whose name has no dot, or begins with one, are skipped.
"""

import functools
import itertools
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources.files import byte_range, find_files, open_raw
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.split_names import BY_NAME, splits_of_paths
from pipeline.sources.table_rows import ROW_ORDERS, short_names, show, with_captions
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.image_formats import IMAGE_SUFFIXES

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
FIELDS_SHOWN = 12
IMAGE_FIELDS = tuple(suffix[1:] for suffix in IMAGE_SUFFIXES)


class Fields(NamedTuple):
    """The fields of a sample that are its image and its captions."""

    image: Sequence[str] = IMAGE_FIELDS
    caption: Sequence[str] = ("txt", "json")  # the first field that a sample has
    json_key: str = "caption"  # key of the captions in a field that ends in json
    lines: bool = True  # whether a text has a caption a line; otherwise it is one caption


class Member(NamedTuple):
    """A file in a tar."""

    key: str
    field: str  # the part after the first dot, lower case
    name: str
    offset: int
    size: int
    text: bytes  # content of fields for captions; other members are not read


def choose_fields(
    image_field: str, caption_field: str, caption_column: str, text_captions: str
) -> Fields:
    """The fields that the flags name; "" means the default."""
    fields = Fields(json_key=caption_column, lines=text_captions == "lines")
    if image_field:
        fields = fields._replace(image=(image_field.lower().lstrip("."),))
    if caption_field:
        fields = fields._replace(caption=(caption_field.lower().lstrip("."),))
    return fields


def find_webdataset(path: str, fields: Fields, split_names: Mapping[str, str]) -> Source:
    """Finds the tar files.

    Args:
      path: a file, a pattern, or a directory of files.
      fields: the fields of a sample.
      split_names: names of splits in the name of a file or its directory.

    Raises:
      InputError: there is no tar, one is compressed, or only some name a split.
    """
    files = find_files(path, (".tar", *COMPRESSED))
    for file in files:
        if not file.lower().endswith(".tar"):
            raise InputError(
                f"--input: {file} is compressed, so that its images cannot be read one by one: "
                "unpack it to a .tar first"
            )
    splits = splits_of_paths(files, split_names)
    names = [name[: -len(".tar")] for name in short_names(files)]
    return Source(
        list(zip(files, names, splits, strict=True)),
        functools.partial(read_tar, fields=fields),
        path,
        path,
        BY_NAME if any(splits) else "",
        tuple(sorted({*splits} - {""})),
    )


def read_tar(part: tuple[str, str, str], fields: Fields) -> Iterator[Mention | Reject]:
    """Reads one tar.

    Args:
      part: (file, its short name without suffix, split).
      fields: the fields of a sample.

    Yields:
      The mentions and rejects of each sample; a sample without an image has no URI, but a problem.

    Raises:
      InputError: the file is not a tar, or is truncated or damaged; the last complete member is
        named.
    """
    path, name, split = part
    samples = itertools.groupby(read_members(path, fields.caption), lambda member: member.key)
    for i, (key, members) in enumerate(samples):
        sample = list(members)
        image_id = printable(f"{name}/{key}")
        mention = Mention(image_id, split, caption_id=image_id, order=i * ROW_ORDERS)
        problem = _image_problem(sample, fields)
        if problem:
            mention = mention._replace(problem=problem)
        else:
            [image] = (member for member in sample if member.field in fields.image)
            mention = mention._replace(
                uri=printable(f"{path}/{image.name}"),
                location=byte_range(path, image.offset, image.size),
            )
        try:
            captions = captions_of(sample, fields)
        except ValueError as error:
            yield reject(image_id, path, UNASSIGNED, CAPTION, error)
            yield mention._replace(caption_id="", order=0)
            continue
        if captions is None:
            seen = f"no field {' or '.join(fields.caption)}; {_seen(sample)}"
            yield mention._replace(caption_id="", order=0, problem=problem or seen)
        else:
            yield from with_captions(mention, captions, path)


def _image_problem(sample: list[Member], fields: Fields) -> str:
    images = [member.field for member in sample if member.field in fields.image]
    if len(images) == 1:
        return ""
    if images:
        return (
            f"{len(images)} images, {' and '.join(sorted(images))}: --image_field="
            f"{sorted(images)[0]} takes one; {_seen(sample)}"
        )
    return (
        f"no field {', '.join(fields.image)} (what follows the first dot of a name); "
        f"{_seen(sample)}; --image_field takes another"
    )


def _seen(sample: list[Member]) -> str:
    seen = sorted({printable(member.field) for member in sample})
    more = ", ..." if len(seen) > FIELDS_SHOWN else ""
    return (
        f"the fields of key {printable(sample[0].key)} are {', '.join(seen[:FIELDS_SHOWN])}{more}"
    )


def captions_of(sample: list[Member], fields: Fields) -> Any:
    """The text or texts of a sample; None if it has none of the fields for captions.

    Raises:
      ValueError: the .json cannot be parsed, or lacks the key.
    """
    for field in fields.caption:
        found = [member for member in sample if member.field == field]
        if found and field.endswith("json"):
            return _json_captions(found[0], fields.json_key)
        if found:
            text = b"\n".join(member.text for member in found)
            lines = text.decode("utf-8-sig", "surrogateescape").splitlines()
            lines = [line for line in lines if line.strip()]
            return lines if fields.lines else " ".join(lines)
    return None


def _json_captions(member: Member, key: str) -> Any:
    name = printable(member.name)
    try:
        values = json.loads(member.text.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {one_line(error)}") from error
    if not isinstance(values, dict) or key not in values:
        raise ValueError(f"{name} has no {key!r} (--caption_column): {show(values)}")
    return values[key] or ""  # null is an empty caption


def read_members(path: str, text_fields: Sequence[str]) -> Iterator[Member]:
    """Yields the files of a tar that have a key; those of `text_fields` with their content.

    Raises:
      InputError: see `read_tar`.
    """
    whole, name = "its start", ""
    try:
        with open_raw(path) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
            while (member := tar.next()) is not None:  # an error if the data before are truncated
                tar.members.clear()  # type: ignore[attr-defined]  # saves the memory of all headers
                whole, name = name or whole, printable(member.name)
                folder, slash, base = member.name.rpartition("/")
                stem, _, field = base.partition(".")
                if not (member.isreg() and stem and field):
                    continue
                key, field, text = f"{folder}{slash}{stem}", field.lower(), b""
                if field in text_fields:
                    text = tar.extractfile(member).read()  # type: ignore[union-attr]
                yield Member(key, field, member.name, member.offset_data, member.size, text)
            whole = name or whole
            # tarfile takes an unreadable header as the end, without an error.
            raw.seek(tar.offset)
            if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it has no end mark")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise InputError(
            f"--input: {path} is not a whole tar file: {one_line(error)}, after {whole}"
        ) from error
