"""One image with its file, its split and its captions, or the reason why not."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.rejects import CAPTION, JOIN, SPLIT, UNASSIGNED, Reject, reject
from pipeline.sources import Caption, Flickr8k, distinct_captions, duplicate


class CaptionedImage(NamedTuple):
    """An image that is ready to be read."""

    image_id: str
    uri: str
    split: str
    captions: list[Caption]


def join_image(
    image_id: str,
    paths: Sequence[str],
    splits: Sequence[str],
    captions: Sequence[Caption],
    source: Flickr8k,
) -> Iterator[CaptionedImage | Reject]:
    """Puts together what the source says of one image.

    Args:
      image_id: of the image.
      paths: its files, at most one.
      splits: the splits that list it, with repetitions.
      captions: its usable captions in any order.
      source: for the file names in messages.

    Yields:
      Exactly one CaptionedImage or image-level Reject, after the rejects that cost only a
      repeated mention or a caption.
    """
    split = image_split(splits)
    uri = paths[0] if paths else source.images
    for name in list(splits)[1:] if split != UNASSIGNED else []:
        yield duplicate(image_id, source.splits[name], split, f"listed twice in the {name} split")
    kept, repeated = distinct_captions(list(captions))
    for caption in repeated:
        error = ValueError(f"an earlier caption has this id: {caption.text!r} is left out")
        yield reject(caption.caption_id, source.captions, split, CAPTION, error)
    if not paths:
        missing = FileNotFoundError(f"{source.images} has no image of this name")
        yield reject(image_id, uri, split, JOIN, missing)
    elif not captions:
        yield reject(image_id, uri, split, JOIN, ValueError("no usable caption"))
    elif split == UNASSIGNED:
        names = ", ".join(sorted(set(splits)))
        message = f"listed in more than one split: {names}" if names else "listed in no split"
        yield reject(image_id, uri, split, SPLIT, ValueError(message))
    else:
        yield CaptionedImage(image_id, uri, split, kept)


def image_split(splits: Sequence[str]) -> str:
    """The one split that lists an image; `unassigned` where none or several do."""
    return splits[0] if len(set(splits)) == 1 else UNASSIGNED


def mentions(splits: Sequence[str]) -> int:
    """How often the books count an image as read: once, and once more a repeated listing."""
    return len(splits) if image_split(splits) != UNASSIGNED else 1
