"""What a source is: parts that workers read one by one, each a stream of mentions of images.

A mention is what one place says of one image: a line of captions, a name in a list of the training
split, a file in a directory, a row of a table. `join_captions` puts the mentions of an image
together, so that it does not matter where and in which order a source says things. Every reader is
a generator, so that no list of the whole data set is ever in memory, and what cannot be used comes
out as a reject, in its place.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject


class Mention(NamedTuple):
    """What one place of the source says of an image. An empty field says nothing.

    The key is what the image *is*: mentions with one key are put together, others never. It is the
    path that will be opened, the bytes themselves where a container holds them, or a name that the
    source keeps unique. The name that is written is for people, and may be less than the key.
    """

    key: str
    split: str = ""
    uri: str = ""  # of the image, as a person would name it
    location: str = ""  # of its bytes where `uri` cannot be opened: path#bytes=first-last
    caption_id: str = ""  # unique among the captions of an image
    order: int = 0  # of the caption among those of the image
    text: str = ""  # of the caption, whitespace collapsed
    is_listing: bool = False  # a list names each image once: a second listing is a duplicate
    has_integer_id: bool = False  # in the source; whichever id is written ends in that integer
    image_id: str = ""  # the name to write, where that is not the key
    full_id: str = ""  # the name to write where `image_id` is not unique in the whole source
    content: str = ""  # a hash of the image's bytes, where they lie in a container
    problem: str = ""  # why there is no file, where the source knows


class Source(NamedTuple):
    """A data set that was found; `read` and `parts` are shipped to the workers."""

    parts: list[Any]  # the units of reading
    read: Callable[[Any], Iterator[Mention | Reject]]  # one part; raises InputError or OSError
    captions: str  # where the captions are, for messages
    images: str  # where the images are, for messages
    splits_by: str = ""  # what says the split of an image; "" where nothing does: a hash of its id
    splits: tuple[str, ...] = ()  # those that files or folders name, before anything is read
    names_may_collide: bool = False  # one `image_id` may be the name of several images
    keys_are_references: bool = False  # of a file's own numbering: the path of the image decides

    @property
    def has_splits(self) -> bool:
        """Whether the source says the splits."""
        return bool(self.splits_by)


def with_caption(mention: Mention, text: str, path: str, expected: str) -> Iterator[Any]:
    """`mention` with the caption `text`, or the reject of that caption.

    Args:
      mention: what else the place says; its `caption_id` is the reject's id.
      text: of the caption, as the source has it.
      path: the file that holds the caption.
      expected: what a place without an image should have looked like.
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
