"""The source `flickr8k`, in its own layout (Hodosh et al. 2013) and in that of its CSV copy.

    Flickr8k.token.txt            name.jpg#0<TAB>A caption .
    Flickr_8k.trainImages.txt     name.jpg              also devImages, testImages
    Flicker8k_Dataset/            the photographs

    captions.txt                  image,caption         a CSV with this header
    Images/                       the photographs

The text files may be in a folder `Flickr8k_text`. Without lists of images, splits are by hash.
"""

import csv
from collections.abc import Iterator, Mapping

from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources.files import (
    check_directory,
    find_images,
    first_file,
    list_images,
)
from pipeline.sources.mentions import Mention, Source, with_caption
from pipeline.sources.text_files import first_line, read_lines
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


def find_flickr8k(
    directory: str, split_names: Mapping[str, str], needs_images: bool = True
) -> Source:
    """Finds the files of the data set.

    Args:
      directory: the directory of the files.
      split_names: the splits for the lists `train`, `dev` and `test`.
      needs_images: False searches for no images.

    Raises:
      InputError: something is missing; the message has the names that were searched for.
    """
    check_directory(directory)
    captions = first_file(directory, [*_in_text(TOKEN_FILE), *_in_text(CSV_FILE)])
    if captions is None:
        raise InputError(f"--input: {directory} has neither {TOKEN_FILE} nor {CSV_FILE}")
    header = first_line(captions)
    if captions.endswith(CSV_FILE) and header != CSV_HEADER:
        raise InputError(
            f"--input: {captions} starts with {printable(header)!r}, "
            f"its first line must be {CSV_HEADER!r}"
        )
    images = find_images(directory, IMAGE_DIRECTORIES, needs_images)
    lists = {split: first_file(directory, _in_text(name)) for split, name in SPLIT_FILES.items()}
    splits = {split: file for split, file in lists.items() if file is not None}
    if splits and "train" not in splits:
        raise InputError(
            f"--input: {directory} has {', '.join(splits.values())} but not {SPLIT_FILES['train']}"
        )
    lists_of_images = [
        (split_names.get("dev" if split == "validation" else split, split), file)
        for split, file in splits.items()
    ]
    captions_kind = "csv" if captions.endswith(CSV_FILE) else "tokens"
    parts = [(captions_kind, captions), *[("images", images)] * bool(images), *lists_of_images]
    by = f"its lists, {', '.join(splits.values())}" if splits else ""
    named = tuple(dict.fromkeys(split for split, _ in lists_of_images))
    return Source(parts, read_part, captions, images, by, named)


def read_part(part: tuple[str, str]) -> Iterator[Mention | Reject]:
    """Reads ("tokens" or "csv", file), ("images", directory) or (split, file of image names)."""
    kind, path = part
    if kind == "tokens":
        yield from read_tokens(path)
    elif kind == "csv":
        yield from read_csv(path)
    elif kind == "images":
        for name, uri in list_images(path):
            yield Mention(name, uri=uri)
    else:
        for line in read_lines(path):
            if name := line.strip():
                # Beam cannot encode lone surrogates, and no image has such a name.
                yield Mention(printable(name), split=kind, is_listing=True)


def read_tokens(path: str) -> Iterator[Mention | Reject]:
    """Reads the captions of a file of `name.jpg#0<TAB>caption` lines."""
    expected = "name.jpg#0<TAB>caption"
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        caption_id, tab, text = line.rstrip("\r\n").partition("\t")
        image_id, _, order = caption_id.rpartition("#")
        # A carriage return within a line is the line end of another system.
        if tab and "\r" not in text and order.isdecimal() and len(order) <= 9:
            mention = Mention(image_id, caption_id=caption_id, order=int(order))
        else:
            mention = Mention("", caption_id=f"{path}:{number}")
        yield from with_caption(mention, text, path, expected)


def read_csv(path: str) -> Iterator[Mention | Reject]:
    """Reads the captions of a CSV file with the header `image,caption`."""
    reader = csv.reader(read_lines(path))
    rows = filter(None, _readable_rows(reader))  # without blank lines
    next(rows)  # the header
    before = reader.line_num
    for row in rows:
        number = reader.line_num
        image_id, text = (row[0].strip(), ",".join(row[1:])) if len(row) > 1 else ("", "")
        if "\n" in text.rstrip("\r\n"):  # an unclosed quote swallows other captions
            swallowed = f"runs over several lines, is a quote not closed? {printable(text)!r}"
            place = printable(f"{path}:{before + 1}-{number}")
            yield reject(place, path, UNASSIGNED, CAPTION, ValueError(swallowed))
        else:
            mention = Mention(image_id, caption_id=f"{image_id or path}:{number}", order=number)
            yield from with_caption(mention, text, path, "name.jpg,caption")
        before = number


def _readable_rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # such as a lone carriage return; the next row is readable
            yield [str(error)]


def _in_text(name: str) -> list[str]:
    return [FileSystems.join(folder, name) if folder else name for folder in TEXT_DIRECTORIES]
