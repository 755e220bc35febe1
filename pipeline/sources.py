"""Flickr8k on disk: which images there are, their captions and their splits.

Two layouts are read (M. Hodosh et al. 2013, and its CSV copy):

    Flickr8k.token.txt            name.jpg#0<TAB>A caption .
    Flickr_8k.trainImages.txt     name.jpg              also devImages, testImages
    Flicker8k_Dataset/            the photographs

    captions.txt                  image,caption         a CSV with this header
    Images/                       the photographs

The text files may lie in a `Flickr8k_text` folder. Every reader is a generator over one file, so
no list of the whole data set is ever in memory. Bad lines come out as rejects, in order.
"""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from pipeline.captions import clean, tokenize
from pipeline.rejects import CAPTION, DUPLICATE, UNASSIGNED, Reject, printable, reject
from tfrecords_schema.errors import InputError

TOKEN_FILE = "Flickr8k.token.txt"
CSV_FILE = "captions.txt"
CSV_HEADER = "image,caption"
SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
IMAGE_DIRECTORIES = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images")
TEXT_DIRECTORIES = ("", "Flickr8k_text")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


class Flickr8k(NamedTuple):
    """The files of one Flickr8k directory."""

    captions: str
    splits: dict[str, str]  # split -> file of image names; empty: split by hash
    images: str  # directory


class Caption(NamedTuple):
    """One caption of an image."""

    image_id: str  # file name of the image
    caption_id: str
    order: int  # its place among the image's captions
    text: str


def find_flickr8k(directory: str) -> Flickr8k:
    """Finds the files of the data set at `directory`.

    Raises:
      InputError: naming what is missing and which names were looked for.
    """
    if any(character in directory for character in "*?["):
        raise InputError(f"--input: {directory} holds one of * ? [, which Beam takes as wildcards")
    if not _is_directory(directory):
        raise InputError(f"--input: directory {directory} does not exist or is empty")
    captions = _first(directory, [*_in_text(TOKEN_FILE), *_in_text(CSV_FILE)])
    if captions is None:
        raise InputError(f"--input: {directory} has neither {TOKEN_FILE} nor {CSV_FILE}")
    first_line = next((line for line in _lines(captions) if line.strip()), None)
    if first_line is None:
        raise InputError(f"--input: the captions file {captions} is empty")
    if captions.endswith(CSV_FILE) and first_line.strip() != CSV_HEADER:
        raise InputError(
            f"--input: {captions} starts with {printable(first_line.strip())!r}, "
            f"its first line must be {CSV_HEADER!r}"
        )
    images = next(
        (
            path
            for name in IMAGE_DIRECTORIES
            if _is_directory(path := FileSystems.join(directory, name))
        ),
        None,
    )
    if images is None:
        names = ", ".join(IMAGE_DIRECTORIES)
        raise InputError(f"--input: {directory} has no directory of images, one of: {names}")
    lists = {split: _first(directory, _in_text(name)) for split, name in SPLIT_FILES.items()}
    splits = {split: file for split, file in lists.items() if file is not None}
    if splits and "train" not in splits:
        raise InputError(
            f"--input: {directory} has {', '.join(splits.values())} but not {SPLIT_FILES['train']}"
        )
    return Flickr8k(captions, splits, images)


def read_captions(path: str) -> Iterator[Caption | Reject]:
    """The captions in the file at `path`, a token file or a CSV by its name.

    Captions that are empty, have no words or are not UTF-8 come out as rejects, and so do lines
    without an image name.
    """
    rows = _csv_rows(path) if path.endswith(CSV_FILE) else _token_rows(path)
    for image_id, caption_id, order, text in rows:
        problem = _problem(image_id, text)
        if problem:
            yield reject(printable(caption_id), path, UNASSIGNED, CAPTION, ValueError(problem))
        else:
            yield Caption(image_id, caption_id, order, clean(text))


def read_image_names(path: str) -> Iterator[str]:
    """The image names of a split file, one a line, blank lines left out."""
    for line in _lines(path):
        if name := line.strip():
            yield printable(name)  # Beam takes no other; no image is of that name


def list_images(directory: str) -> Iterator[tuple[str, str]]:
    """(name, path) of every image file directly in `directory`."""
    [match] = FileSystems.match([FileSystems.join(directory, "*")])
    for metadata in match.metadata_list:
        name = FileSystems.split(metadata.path)[1]
        if name.lower().endswith(IMAGE_SUFFIXES):
            yield printable(name), printable(metadata.path)


def distinct_captions(captions: list[Caption]) -> tuple[list[Caption], list[Caption]]:
    """An image's captions in order, and those whose id an earlier one has already."""
    first: dict[str, Caption] = {}
    repeated = []
    for caption in sorted(captions, key=lambda c: (c.order, c.caption_id, c.text)):
        if first.setdefault(caption.caption_id, caption) is not caption:
            repeated.append(caption)
    return list(first.values()), repeated


def duplicate(id: str, uri: str, split: str, message: str) -> Reject:
    """The row for a repeated mention of an image."""
    return reject(id, uri, split, DUPLICATE, ValueError(message))


def _problem(image_id: str, text: str) -> str:
    if "\n" in text.rstrip("\r\n"):
        return f"runs over several lines, is a quote not closed? {printable(text)!r}"
    if not image_id:
        return "no image name: expected name.jpg#0<TAB>caption, in a CSV name.jpg,caption"
    try:
        (image_id + text).encode("utf-8")
    except UnicodeEncodeError:
        return f"not valid UTF-8: {printable(text)}"
    if not text.strip():
        return "empty caption"
    if not tokenize(text):
        return f"no words in caption {text!r}"
    return ""


def _token_rows(path: str) -> Iterator[tuple[str, str, int, str]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        caption_id, tab, text = line.rstrip("\r\n").partition("\t")
        image_id, _, order = caption_id.rpartition("#")
        if not tab or not order.isdecimal() or len(order) > 9:
            yield "", f"{path}:{number}", 0, line
        else:
            yield image_id, caption_id, int(order), text


def _csv_rows(path: str) -> Iterator[tuple[str, str, int, str]]:
    reader = csv.reader(_lines(path))
    rows = filter(None, _readable_rows(reader))  # without blank lines
    next(rows)  # the header
    before = reader.line_num
    for row in rows:
        number = reader.line_num
        image_id, text = (row[0].strip(), ",".join(row[1:])) if len(row) > 1 else ("", "")
        if "\n" in text.rstrip("\r\n"):  # a quote that is not closed swallows other captions
            yield image_id, f"{path}:{before + 1}-{number}", number, text
        else:
            yield image_id, f"{image_id or path}:{number}", number, text
        before = number


def _readable_rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # such as a lone carriage return; the next row can be read
            yield [str(error)]


def _lines(path: str) -> Iterator[str]:
    # Bytes that are not UTF-8 become lone surrogates: the line is kept, and refused by itself.
    with FileSystems.open(path) as file:
        yield from io.TextIOWrapper(
            file,  # type: ignore[type-var]
            encoding="utf-8-sig",
            errors="surrogateescape",
            newline="\n",
        )


def _is_directory(path: str) -> bool:
    try:
        # At any depth: there may be nothing but folders in it, which `*` does not match.
        [match] = FileSystems.match([FileSystems.join(path, "**")], limits=[1])
        return bool(match.metadata_list)
    except BeamIOError:
        return False
    except ValueError as error:  # no filesystem for the path's scheme
        raise InputError(f"--input: {path}: {error}") from error


def _in_text(name: str) -> list[str]:
    return [FileSystems.join(folder, name) if folder else name for folder in TEXT_DIRECTORIES]


def _first(directory: str, names: list[str]) -> str | None:
    paths = (FileSystems.join(directory, name) for name in names)
    return next((path for path in paths if FileSystems.exists(path)), None)
