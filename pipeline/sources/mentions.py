"""The interface of all sources: parts that workers read one by one, each a stream of mentions.

A mention is one statement about an image: a line of captions, a name in a list of the training
split, a file in a directory, a row of a table. `join_captions` joins the mentions of an image, so
the place and the order of mentions in a source do not matter. Every reader is a generator, so no
list of the whole data set is ever in memory. A record that cannot be used becomes a reject, in its
place.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject


class Mention(NamedTuple):
    """One statement of the source about an image. An empty field states nothing.

    The key identifies the image: mentions with the same key are joined. It is the path that will be
    opened, the bytes of an image in a container, or a name that is unique in the source. The id
    that is written is for people, and may differ from the key.
    """

    key: str
    split: str = ""
    uri: str = ""  # path or URI of the image, for people
    location: str = ""  # location of its bytes if `uri` cannot be opened: path#bytes=first-last
    caption_id: str = ""  # unique among the captions of an image
    order: int = 0  # place of the caption among those of the image
    text: str = ""  # the caption, with whitespace collapsed
    is_listing: bool = False  # a list names each image once: a second listing is a duplicate
    has_integer_id: bool = False  # in the source; each possible id then ends in that integer
    image_id: str = ""  # the id to write, if it is not the key
    full_id: str = ""  # the id to write if `image_id` is not unique in the whole source
    content: str = ""  # a hash of the image's bytes, if they are in a container
    problem: str = ""  # why there is no file, if the source knows


class Source(NamedTuple):
    """A data set that was found; `read` and `parts` are sent to the workers."""

    parts: list[Any]  # the units of reading
    read: Callable[[Any], Iterator[Mention | Reject]]  # reads a part; raises InputError or OSError
    captions: str  # path of the captions, for messages
    images: str  # path of the images, for messages
    splits_by: str = ""  # what defines the splits; "" if nothing does: then a hash of the id
    splits: tuple[str, ...] = ()  # splits that files or folders name, before anything is read
    names_may_collide: bool = False  # whether several images may have one `image_id`
    keys_are_references: bool = False  # whether keys are a file's own numbers, to replace by paths

    @property
    def has_splits(self) -> bool:
        """Whether the source defines the splits."""
        return bool(self.splits_by)


def with_caption(mention: Mention, text: str, path: str, expected: str) -> Iterator[Any]:
    """`mention` with the caption `text`, or the reject of that caption.

    Args:
      mention: the other fields; its `caption_id` is the reject's id.
      text: the caption, as in the source.
      path: the file of the caption.
      expected: the expected format, for a place without an image.
    """
    if not mention.key:
        problem = f"no image name: expected {expected}"
    elif not is_utf8(mention.key + text):
        problem = f"not valid UTF-8: {printable(text)}"
    elif not text.strip():
        problem = "empty caption"
    else:
        yield mention._replace(text=" ".join(text.split()))
        return
    yield reject(printable(mention.caption_id), path, UNASSIGNED, CAPTION, ValueError(problem))


def is_utf8(text: str) -> bool:
    """Whether `text` can be encoded; lone surrogates stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def field(entry: Any, name: str) -> Any:
    """The value of `name` in a JSON object; None if it has none or is no object."""
    return entry.get(name) if isinstance(entry, dict) else None


def is_text(value: Any) -> bool:
    """Whether `value`, from JSON, is a string that can be a name."""
    return isinstance(value, str) and bool(value) and is_utf8(value)


def malformed_entry(place: str, path: str, expected: str, entry: Any) -> Reject:
    """The reject of an entry of a JSON file; it costs a caption, not an image.

    Args:
      place: file and position of the entry.
      path: path of the file.
      expected: the expected fields.
      entry: the entry.
    """
    problem = ValueError(f"expected {expected}, found {entry!r:.200}")
    return reject(printable(place), path, UNASSIGNED, CAPTION, problem)
