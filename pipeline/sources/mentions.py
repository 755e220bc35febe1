"""What a source is: parts that workers read one by one, each a stream of mentions of images.

A mention is what one place says of one image: a line of captions, a name in a list of the training
split, a file in a directory, a row of a table. `join_captions` puts the mentions of an image
together, so that it does not matter where and in which order a source says things. Every reader is
a generator, so that no list of the whole data set is ever in memory, and what cannot be used comes
out as a reject, in its place.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.rejects import CAPTION, UNASSIGNED, Reject, printable, reject


class Mention(NamedTuple):
    """What one place of the source says of an image. An empty field says nothing."""

    image_id: str
    split: str = ""
    uri: str = ""  # of the image, as a person would name it
    location: str = ""  # of its bytes where `uri` cannot be opened: path#bytes=first-last
    caption_id: str = ""  # unique among the captions of an image
    order: int = 0  # of the caption among those of the image
    text: str = ""  # of the caption, whitespace collapsed
    is_listing: bool = False  # a list names each image once: a second listing is a duplicate


class Source(NamedTuple):
    """A data set that was found; `read` and `parts` are shipped to the workers."""

    parts: list[Any]  # the units of reading
    read: Callable[[Any], Iterator[Mention | Reject]]  # one part; raises InputError or OSError
    captions: str  # where the captions are, for messages
    images: str  # where the images are, for messages
    has_splits: bool  # else an image's split is a hash of its id


def with_caption(mention: Mention, text: str, path: str, expected: str) -> Iterator[Any]:
    """`mention` with the caption `text`, or the reject of that caption.

    Args:
      mention: what else the place says; its `caption_id` is the reject's id.
      text: of the caption, as the source has it.
      path: the file that holds the caption.
      expected: what a place without an image should have looked like.
    """
    if not mention.image_id:
        problem = f"no image name: expected {expected}"
    elif not is_utf8(mention.image_id + text):
        problem = f"not valid UTF-8: {printable(text)}"
    elif not text.strip():
        problem = "empty caption"
    else:
        yield mention._replace(text=" ".join(text.split()))
        return
    yield reject(printable(mention.caption_id), path, UNASSIGNED, CAPTION, ValueError(problem))


def is_utf8(text: str) -> bool:
    """False where `text` holds lone surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def field(entry: Any, name: str) -> Any:
    """What an entry of a JSON file has under `name`; None where it is no object or has none."""
    return entry.get(name) if isinstance(entry, dict) else None


def is_text(value: Any) -> bool:
    """Whether `value`, of a JSON file, is a string that can name something."""
    return isinstance(value, str) and bool(value) and is_utf8(value)


def malformed_entry(place: str, path: str, expected: str, entry: Any) -> Reject:
    """The reject of an entry of a JSON file; it costs a caption, no image.

    Args:
      place: of the entry, file and position.
      path: of the file.
      expected: what the entry should have.
      entry: as it is.
    """
    problem = ValueError(f"expected {expected}, found {entry!r:.200}")
    return reject(printable(place), path, UNASSIGNED, CAPTION, problem)
