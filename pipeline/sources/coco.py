"""COCO captions on disk (Chen et al. 2015), or any data set in that format.

    annotations/captions_train2014.json
        {"images": [{"id": 391895, "file_name": "COCO_train2014_000000391895.jpg"}],
         "annotations": [{"id": 770337, "image_id": 391895, "caption": "A man ."}]}
    annotations/captions_val2014.json
    train2014/, val2014/                  the photographs, also in `images`

An image goes by its number, by which annotations name it: to go by its file name, every worker
would need a table of all images in memory. So each file is read twice, once for each of its lists,
as a stream.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from pipeline.rejects import Reject, printable
from pipeline.sources.files import (
    check_directory,
    first_directory,
    matching_files,
    read_json_list,
)
from pipeline.sources.mentions import (
    Mention,
    Source,
    field,
    is_text,
    malformed_entry,
    with_caption,
)
from tfrecords_schema.errors import InputError

IMAGES, ANNOTATIONS = "images", "annotations"  # the lists of a captions file
PATTERN = "captions_*.json"
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # by the next letters of the name


class CocoPart(NamedTuple):
    """One list of one captions file."""

    path: str
    name: str  # of the list
    split: str  # of the images
    images: str  # directory of the images


def find_coco(directory: str, image_directory: str) -> Source:
    """Finds the captions files at `directory` and the directories of their images.

    Args:
      directory: holds the captions files, or a folder `annotations` with them.
      image_directory: holds folders such as train2014, or all images; "" where these folders are in
        `directory` or its folder `images`.

    Raises:
      InputError: naming what is missing or cannot be used.
    """
    check_directory(directory)
    if image_directory:
        check_directory(image_directory, "--image_directory")
    annotations = FileSystems.join(directory, "annotations")
    paths = matching_files(directory, PATTERN) or matching_files(annotations, PATTERN)
    if not paths:
        raise InputError(f"--input: neither {directory} nor {annotations} has a {PATTERN}")
    _check_one_release(paths)
    parts = []
    for path in paths:
        split = _split(path)
        images = _find_images(path, directory, image_directory)
        next(read_json_list(path, IMAGES))  # its beginning tells whether it is a captions file
        parts += [CocoPart(path, name, split, images) for name in (IMAGES, ANNOTATIONS)]
    return Source(parts, read_part, ", ".join(paths), image_directory or directory, True)


def read_part(part: CocoPart) -> Iterator[Mention | Reject]:
    """Reads one list of one captions file.

    Yields:
      A mention or a reject for each entry. An image that has a number but no file name is both:
      it counts as an image, which the join finds to have no file.

    Raises:
      InputError: the file is no valid JSON or does not have that list.
    """
    read_entry = _read_image if part.name == IMAGES else _read_annotation
    for number, entry in enumerate(read_json_list(part.path, part.name)):
        yield from read_entry(entry, f"{part.path}:{part.name}[{number}]", part)


def _read_image(entry: Any, place: str, part: CocoPart) -> Iterator[Mention | Reject]:
    image_id, name = field(entry, "id"), field(entry, "file_name")
    has_id = type(image_id) is int  # and no bool
    uri = printable(FileSystems.join(part.images, name)) if is_text(name) else ""
    if has_id:
        yield Mention(str(image_id), split=part.split, uri=uri, is_listing=True)
    if not (has_id and uri):
        yield malformed_entry(place, part.path, "a number `id` and a text `file_name`", entry)


def _read_annotation(entry: Any, place: str, part: CocoPart) -> Iterator[Mention | Reject]:
    id, image_id, text = (field(entry, name) for name in ("id", "image_id", "caption"))
    if type(id) is int and type(image_id) is int and isinstance(text, str):
        mention = Mention(str(image_id), caption_id=str(id), order=id)
        yield from with_caption(mention, text, part.path, "image_id")
    else:
        expected = "numbers `id` and `image_id` and a text `caption`"
        yield malformed_entry(place, part.path, expected, entry)


def _check_one_release(paths: Sequence[str]) -> None:
    """The releases 2014 and 2017 are of the same images and divide them differently."""
    years = sorted({year for path in paths for year in re.findall(r"\d{4}", _release(path))})
    if len(years) > 1:
        raise InputError(
            f"--input: {', '.join(paths)} are of {' and '.join(years)}, which divide the same "
            "images into different splits: keep the files of one year there"
        )


def _split(path: str) -> str:
    for start, split in SPLITS.items():
        if _release(path).startswith(start):
            return split
    names = ", ".join(f"captions_{start}*.json" for start in SPLITS)
    raise InputError(f"--input: {path} names no split, its name must be one of: {names}")


def _find_images(path: str, directory: str, image_directory: str) -> str:
    release = _release(path)
    if image_directory:
        return first_directory(image_directory, [release]) or image_directory
    names = [release, FileSystems.join("images", release)]
    images = first_directory(directory, names)
    if images is None:
        raise InputError(
            f"--input: {directory} has neither {' nor '.join(names)} with the images of {path}; "
            "--image_directory names another place"
        )
    return images


def _release(path: str) -> str:
    """train2014 of captions_train2014.json."""
    return FileSystems.split(path)[1].removeprefix("captions_").removesuffix(".json")
