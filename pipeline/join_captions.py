"""One image with its file, its split and its captions, or the reason why not."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.captions import has_words
from pipeline.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject, reject
from pipeline.sources.mentions import Mention
from pipeline.splits import split_by_hash


class CaptionedImage(NamedTuple):
    """An image that is ready to be read."""

    image_id: str
    uri: str  # as a person would name it
    location: str  # where its bytes are
    split: str
    captions: list[str]


class JoinRules(NamedTuple):
    """What must be known to put the mentions of an image together."""

    captions: str  # where the captions are, for messages
    images: str  # where the images are, for messages
    split_fractions: tuple[float, ...] | None  # None: the source's own splits
    needs_file: bool  # False for a data set of text
    clean: str  # preset of pipeline.captions


def join_image(
    image_id: str, mentions: Sequence[Mention], rules: JoinRules
) -> Iterator[CaptionedImage | Reject]:
    """Puts together what the source says of one image, in whatever order it says it.

    Yields:
      Exactly one CaptionedImage or image-level Reject, after the rejects that cost only a
      repeated mention or a caption.
    """
    split = image_split(image_id, mentions, rules)
    files = _files(mentions)
    uri = files[0].uri if files else rules.images
    for message in _repetitions(mentions, split, files):
        yield reject(image_id, uri, split, DUPLICATE, ValueError(message))
    captions, rejects = _captions(mentions, split, rules)
    yield from rejects
    if rules.needs_file and not files:
        missing = FileNotFoundError(f"{rules.images} has no image of this name")
        yield reject(image_id, uri, split, JOIN, missing)
    elif not captions:
        yield reject(image_id, uri, split, JOIN, ValueError("no usable caption"))
    elif split == UNASSIGNED:
        names = ", ".join(sorted({mention.split for mention in mentions} - {""}))
        message = f"listed in more than one split: {names}" if names else "listed in no split"
        yield reject(image_id, uri, split, SPLIT, ValueError(message))
    else:
        location = (files[0].location or uri) if files else ""
        yield CaptionedImage(image_id, uri if files else "", location, split, captions)


def image_split(image_id: str, mentions: Sequence[Mention], rules: JoinRules) -> str:
    """The one split of an image; `unassigned` where the source names none or several."""
    if rules.split_fractions is not None:
        return split_by_hash(image_id, rules.split_fractions)
    splits = {mention.split for mention in mentions} - {""}
    return splits.pop() if len(splits) == 1 else UNASSIGNED


def times_read(mentions: Sequence[Mention], split: str) -> int:
    """How often the books count an image as read: once, and once more a duplicate."""
    return 1 + len(_repetitions(mentions, split, _files(mentions)))


def _files(mentions: Sequence[Mention]) -> list[Mention]:
    by_uri = {(mention.uri, mention.location): mention for mention in mentions if mention.uri}
    return [by_uri[key] for key in sorted(by_uri)]


def _repetitions(mentions: Sequence[Mention], split: str, files: Sequence[Mention]) -> list[str]:
    if split == UNASSIGNED:  # it is lost as a whole, and counted once
        return []
    messages = [f"another file of this image: {file.uri}" for file in files[1:]]
    listings = sorted(mention.split for mention in mentions if mention.is_listing)
    # A list that names an image twice may name two files: that is one duplicate, not two.
    again = listings[1 + len(messages) :]
    return messages + [f"listed once more, in the {name or split} split" for name in again]


def _captions(
    mentions: Sequence[Mention], split: str, rules: JoinRules
) -> tuple[list[str], list[Reject]]:
    first: dict[str, Mention] = {}
    rejects = []
    said = [mention for mention in mentions if mention.text]
    for mention in sorted(said, key=lambda m: (m.order, m.caption_id, m.text)):
        if not has_words(mention.text, rules.clean):
            problem = f"no words in caption {mention.text!r}"
        elif first.setdefault(mention.caption_id, mention) is not mention:
            problem = f"an earlier caption has this id: {mention.text!r} is left out"
        else:
            continue
        error = ValueError(problem)
        rejects.append(reject(mention.caption_id, rules.captions, split, CAPTION, error))
    return [mention.text for mention in first.values()], rejects
