"""What tables of images have in common, whatever file they lie in: columns, captions, splits."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources.mentions import Mention, with_caption

# What data sets call the three splits.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

ROW_ORDERS = 1000  # captions of a row that keep their place before those of the next row


class Columns(NamedTuple):
    """The names of the columns; `split` may be absent from the table, `id` empty."""

    image: str = "image"
    caption: str = "caption"
    split: str = "split"
    id: str = ""


class Cells(NamedTuple):
    """What one row has in those columns; None where the table has no such column."""

    image: Any = None
    caption: Any = None
    split: Any = None
    id: Any = None


def to_text(value: Any) -> str | None:
    """The text of a cell, '' of an empty one, None of one that holds something else.

    Bytes that are not UTF-8, and halves of a character as in the JSON string "\\ud83d", become
    lone surrogates that `printable` shows as bytes.
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
    """A cell in a message, cut where it is long."""
    text = printable(to_text(value) or repr(value))
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def with_captions(mention: Mention, value: Any, path: str) -> Iterator[Mention | Reject]:
    """`mention` with each of the captions that a cell holds.

    Args:
      mention: what else the row says; its `caption_id` is the place of the row.
      value: a text, or a list of texts; of a list the k-th caption's id ends in #k.
      path: of the file, for rejects.

    Yields:
      A mention or a reject a caption, and where none is usable the mention without a caption, so
      that the image is not forgotten.
    """
    texts = [("", value)]
    if isinstance(value, list):
        texts = [(f"#{k}", text) for k, text in enumerate(value)] or [("", "")]
    usable = False
    for k, (mark, caption) in enumerate(texts):
        caption_id = f"{mention.caption_id}{mark}"
        text = to_text(caption)
        if text is None:
            problem = f"the caption is {show(caption)}: expected a text or a list of texts"
            yield reject(caption_id, path, UNASSIGNED, CAPTION, ValueError(problem))
            continue
        said = mention._replace(caption_id=caption_id, order=mention.order + k)
        for found in with_caption(said, text, path, "an image"):
            usable = usable or isinstance(found, Mention)
            yield found
    if not usable:
        yield mention._replace(caption_id="", order=0)


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths without the directory that they share: names to make ids of, all different."""
    folders = [path.split("/")[:-1] for path in paths]
    shared = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))
    start = len(list(shared))
    return [printable("/".join(path.split("/")[start:])) for path in paths]
