"""The common parts of all tables of images: columns, cells, captions."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources.caption_cells import caption_ways, captions_in_text
from pipeline.sources.mentions import Mention, with_caption
from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import IMAGE_SUFFIXES

NAMES_SHOWN = 50
ROW_ORDERS = 1000  # captions of a row that are ordered before those of the next row


class Columns(NamedTuple):
    """The column names; `split` may be absent from the table, `id` may be empty.

    `caption` is a column; or several, `caption_0,caption_1`; or a field of a column of structs,
    `sentences.raw`. A column with exactly this name takes precedence.
    """

    image: str = "image"
    caption: str = "caption"
    split: str = "split"
    id: str = ""


class Cells(NamedTuple):
    """The values of one row in those columns; None for a column that the table lacks."""

    image: Any = None
    caption: Any = None
    split: Any = None
    id: Any = None


class TextFormat(NamedTuple):
    """The format of a table of text; an empty field is decided by the file's name."""

    delimiter: str = ""
    quoting: str = ""  # csv or none
    header: Sequence[str] = ()  # the column names of a table without a header


def check_columns(path: str, names: Sequence[str], columns: Columns) -> None:
    """Raises InputError if a table lacks a column, or has two with its name.

    Args:
      path: path of the table.
      names: names of its columns, and of the fields of structs as `sentences.raw`.
      columns: the columns to find; the split column may be absent if it has its default name.
    """
    for kind, name in columns._asdict().items():
        if not name or (kind == "split" and name == "split" and name not in names):
            continue
        wanted = [name]
        if kind == "caption":
            wanted = [".".join(way) for way in caption_ways(name, names)]
        for column in wanted:
            count = names.count(column)
            is_field = count == 0 and kind == "caption" and _is_field(column, names)
            if count != 1 and not is_field:
                raise InputError(
                    f"--input: {path} {_missing(column, f'{kind}_column={name}', names)}"
                )


def _is_field(name: str, names: Sequence[str]) -> bool:
    """Whether `name` may be a field of a column whose fields are unknown, as of an empty list."""
    way = caption_ways(name, names)[0]
    return way[0] in names and not any(other.startswith(f"{way[0]}.") for other in names)


def _missing(name: str, flag: str, names: Sequence[str]) -> str:
    count = names.count(name)
    shown = ", ".join(map(show, names[:NAMES_SHOWN])) + ", ..." * (len(names) > NAMES_SHOWN)
    message = f"has {count or 'no'} column{'s' * (count > 0)} {name!r} (--{flag}); it has: {shown}"
    if len(names) == 1 and any(mark in names[0] for mark in ",;|\t"):
        message += "; --delimiter says what stands between the columns"
    elif any(other.lower().endswith(IMAGE_SUFFIXES) for other in names):
        message += "; --columns=image,caption names the columns of a table without a header"
    return message


def without_nul(cells: Cells) -> Cells | str:
    """The cells, or the fault if a path, split or id has a NUL character."""
    image, _, split, id = cells
    if _has_nul(image) or _has_nul(split) or _has_nul(id):
        bad = next(value for value in (image, split, id) if _has_nul(value))
        return f"a name holds a NUL character: {show(bad)}"
    return cells


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, bytes) and b"\0" in value


def to_text(value: Any) -> str | None:
    """The text of a cell, '' for an empty one, None for one that is not text.

    Bytes that are not UTF-8, and lone surrogates as in the JSON string "\\ud83d", become lone
    surrogates that `printable` shows as bytes.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        try:
            value.encode("utf-8", "surrogateescape")
            return value
        except UnicodeEncodeError:
            value = value.encode("utf-8", "surrogatepass")
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else None


def show(value: Any) -> str:
    """A cell in a message, shortened if it is long."""
    text = printable(to_text(value) or repr(value))
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def with_captions(mention: Mention, value: Any, path: str) -> Iterator[Mention | Reject]:
    """`mention` with each of the captions of a cell.

    Args:
      mention: the other fields of the row; its `caption_id` is the row's place.
      value: a text, a list of texts, or a text that lists them, see `caption_cells`. In a list the
        k-th caption's id ends in #k.
      path: path of the file, for rejects.

    Yields:
      A mention or a reject a caption. If no caption is usable, also the mention without a caption,
      so that the image is counted.
    """
    listed = captions_in_text(value)
    value = value if listed is None else listed
    texts = [("", value)]
    if isinstance(value, list):
        # A null is no caption: it pads lists to one length.
        there = [(f"#{k}", text) for k, text in enumerate(value) if text is not None]
        texts = there or [("", "")]
    usable = False
    for k, (mark, caption) in enumerate(texts):
        caption_id = f"{mention.caption_id}{mark}"
        text = to_text(caption)
        if text is None or "\0" in text:
            problem = f"the caption is {show(caption)}: expected a text or a list of texts"
            if text is not None:
                problem = f"the caption holds a NUL character: {show(text)}"
            yield reject(caption_id, path, UNASSIGNED, CAPTION, ValueError(problem))
            continue
        said = mention._replace(caption_id=caption_id, order=mention.order + k)
        for found in with_caption(said, text, path, "an image"):
            usable = usable or isinstance(found, Mention)
            yield found
    if not usable:
        yield mention._replace(caption_id="", order=0)


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths without their common directory, as unique names for use in ids."""
    folders = [path.split("/")[:-1] for path in paths]
    shared = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))
    start = len(list(shared))
    return [printable("/".join(path.split("/")[start:])) for path in paths]
