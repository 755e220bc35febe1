"""Joins an image with its file, its split and its captions, or rejects it with the reason."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.accounting.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject, reject
from pipeline.sources.files import same_path
from pipeline.sources.mentions import Mention
from pipeline.text.splits import split_by_hash
from pipeline.text.tokenize import has_words, marker_inside, unwrap
from tfrecords_schema.shards import SPLITS

NO_CAPTION = "no usable caption"  # the reject message if all captions of an image are rejected


class CaptionedImage(NamedTuple):
    """An image with its captions, ready to be read."""

    image_id: str
    uri: str  # path or URI for messages
    location: str  # where its bytes are
    split: str
    captions: list[str]


class JoinRules(NamedTuple):
    """The settings for joining the mentions of an image."""

    captions: str  # where the captions are, for messages
    images: str  # where the images are, for messages
    split_fractions: tuple[float, ...] | None  # None: the source's own splits
    needs_file: bool  # False for a data set of text
    clean: str  # preset of pipeline.text.tokenize


class TwoFilesError(ValueError):
    """One name stands for several image files, so the captions cannot be assigned to one."""


def image_name(key: str, mentions: Sequence[Mention], is_full: bool) -> str:
    """The id to write, taken from the first mention.

    Args:
      key: the key of the mentions.
      mentions: all mentions of one image.
      is_full: whether to use the id that is unique in the whole source, if the short one is not.
    """
    first = min(mentions, key=lambda m: (not m.image_id, m.order, m.full_id, m.image_id))
    return (is_full and first.full_id) or first.image_id or key


def has_integer_id(mentions: Sequence[Mention]) -> bool:
    """Whether the image's id is an integer in every mention."""
    return all(mention.has_integer_id for mention in mentions)


def join_image(
    image_id: str, mentions: Sequence[Mention], rules: JoinRules
) -> Iterator[CaptionedImage | Reject]:
    """Joins all mentions of one image, in any order.

    Yields:
      Rejects of repeated mentions and captions, and then exactly one CaptionedImage or image-level
      Reject. If a name stands for several files, one Reject for each.
    """
    named = _named_splits(mentions, rules)
    split = image_split(image_id, mentions, rules)
    files = image_files(mentions)
    if len(files) > 1:
        uris = " and ".join(file.uri for file in files[:3])
        for file in files:
            two = TwoFilesError(f"{image_id} is the name of {len(files)} files: {uris}")
            yield reject(image_id, file.uri, split, JOIN, two)
        return
    uri = files[0].uri if files else rules.images
    for message in _repetitions(mentions, split, named):
        yield reject(image_id, uri, split, DUPLICATE, ValueError(message))
    captions, rejects = _captions(mentions, split, rules)
    yield from rejects
    problem = "; ".join(sorted({mention.problem for mention in mentions} - {""}))
    if rules.needs_file and not files:
        missing = problem or f"{rules.images} has no image of this name"
        yield reject(image_id, uri, split, JOIN, FileNotFoundError(missing))
    elif not captions:
        message = f"{NO_CAPTION}{': ' if problem else ''}{problem}"
        yield reject(image_id, uri, split, JOIN, ValueError(message))
    elif len(named) > 1:
        message = f"listed in more than one split: {', '.join(named)}"
        yield reject(image_id, uri, split, SPLIT, ValueError(message))
    elif split == UNASSIGNED:
        left_out = "left out by --split_names or --restval" if named else "listed in no split"
        yield reject(image_id, uri, split, SPLIT, ValueError(left_out))
    else:
        location = (files[0].location or uri) if files else ""
        yield CaptionedImage(image_id, uri if files else "", location, split, captions)


def image_split(image_id: str, mentions: Sequence[Mention], rules: JoinRules) -> str:
    """The one split of an image, in whose counts it appears.

    It is `unassigned` if the source names no split or leaves the image out. An image in several
    splits is rejected, and counted as rejected in the first of them.
    """
    if rules.split_fractions is not None:
        return split_by_hash(image_id, rules.split_fractions)
    named = set(_named_splits(mentions, rules))
    return next((split for split in SPLITS if split in named), UNASSIGNED)


def times_read(mentions: Sequence[Mention], rules: JoinRules, split: str) -> int:
    """The number of images that one key adds to the counts of images read.

    It is 1, plus 1 for each duplicate; with several files it is their number.
    """
    files = len(image_files(mentions))
    if files > 1:
        return files
    return 1 + len(_repetitions(mentions, split, _named_splits(mentions, rules)))


def image_files(mentions: Sequence[Mention]) -> list[Mention]:
    """The first mention of each different file, by content digest, or by path without one."""
    said = [mention for mention in mentions if mention.uri]
    if len({(m.uri, m.location, m.content) for m in said}) > 1:
        said.sort(key=lambda m: (m.order, m.uri, m.location))
    by_file: dict[str, Mention] = {}
    for mention in said:
        by_file.setdefault(mention.content or same_path(mention.location or mention.uri), mention)
    return list(by_file.values())


def _named_splits(mentions: Sequence[Mention], rules: JoinRules) -> list[str]:
    if rules.split_fractions is not None:
        return []
    return sorted({mention.split for mention in mentions} - {""})


def _repetitions(mentions: Sequence[Mention], split: str, named: Sequence[str]) -> list[str]:
    if split == UNASSIGNED or len(named) > 1:  # the whole image is rejected, and counted once
        return []
    listings = sorted(mention.split for mention in mentions if mention.is_listing)
    return [f"listed once more, in the {name or split} split" for name in listings[1:]]


def _captions(
    mentions: Sequence[Mention], split: str, rules: JoinRules
) -> tuple[list[str], list[Reject]]:
    first: dict[str, Mention] = {}
    rejects = []
    said = [mention for mention in mentions if mention.text]
    for mention in sorted(said, key=lambda m: (m.order, m.caption_id, m.text)):
        if (bare := unwrap(mention.text)) is not None:
            mention = mention._replace(text=bare)
        if marker := marker_inside(mention.text):
            fault = f"{marker!r} within caption {mention.text!r}: it is a mark of a tokenizer"
        elif not has_words(mention.text, rules.clean):
            fault = f"no words in caption {mention.text!r}"
        elif first.setdefault(mention.caption_id, mention) is not mention:
            fault = f"an earlier caption has this id: {mention.text!r} is left out"
        else:
            continue
        error = ValueError(fault)
        rejects.append(reject(mention.caption_id, rules.captions, split, CAPTION, error))
    return [mention.text for mention in first.values()], rejects
