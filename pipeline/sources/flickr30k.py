"""The source `flickr30k`, in its own layout (Young et al. 2014) and in that of its CSV copy.

    results_20130124.token                name.jpg#0<TAB>A caption .
    flickr30k-images/                     the photographs

    results.csv                           name.jpg| 0| A caption .   below a header
    flickr30k_images/flickr30k_images/    the photographs

The captions file may be in a folder `flickr30k` or `flickr30k_images`. There are no lists of
splits: the splits are by hash, or Karpathy's (`karpathy.py`).
"""

import re
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import Reject, printable
from pipeline.sources.files import (
    check_directory,
    find_images,
    first_file,
    list_images,
)
from pipeline.sources.flickr8k import read_tokens
from pipeline.sources.mentions import Mention, Source, with_caption
from pipeline.sources.text_files import first_line, read_lines
from tfrecords_schema.errors import InputError

TOKEN_FILE = "results_20130124.token"
CSV_FILE = "results.csv"
CSV_HEADER = ["image_name", "comment_number", "comment"]
TEXT_DIRECTORIES = ("", "flickr30k", "flickr30k_images")
# The copy has folders of one name within each other. The outermost comes last, since it may have
# the captions alone.
IMAGE_DIRECTORIES = (
    "flickr30k-images",
    "flickr30k_images/flickr30k_images/flickr30k_images",
    "flickr30k_images/flickr30k_images",
    "images",
    "Images",
    "flickr30k_images",
)

# A line of the published CSV has no bar after its number: "2199200615.jpg| 4   A dog runs".
_NUMBER_AND_CAPTION = re.compile(r"\s*(\d{1,9})(?:\s*\||\s)\s*(.*)", re.DOTALL)


def find_flickr30k(directory: str, needs_images: bool = True) -> Source:
    """Finds the files of the data set at `directory`; without `needs_images` only its text.

    Raises:
      InputError: something is missing; the message has the names that were searched for.
    """
    check_directory(directory)
    names = [
        FileSystems.join(folder, name) if folder else name
        for name in (TOKEN_FILE, CSV_FILE)
        for folder in TEXT_DIRECTORIES
    ]
    captions = first_file(directory, names)
    if captions is None:
        raise InputError(f"--input: {directory} has none of {', '.join(names)}")
    header = first_line(captions)
    if captions.endswith(CSV_FILE) and _fields(header) != CSV_HEADER:
        raise InputError(
            f"--input: {captions} starts with {printable(header)!r}, "
            f"its first line must be {'| '.join(CSV_HEADER)!r}"
        )
    images = find_images(directory, IMAGE_DIRECTORIES, needs_images)
    captions_kind = "csv" if captions.endswith(CSV_FILE) else "tokens"
    parts = [(captions_kind, captions), *[("images", images)] * bool(images)]
    return Source(parts, read_part, captions, images)


def read_part(part: tuple[str, str]) -> Iterator[Mention | Reject]:
    """Reads ("tokens" or "csv", file) or ("images", directory)."""
    kind, path = part
    if kind == "tokens":
        yield from read_tokens(path)
    elif kind == "csv":
        yield from read_csv(path)
    else:
        for name, uri in list_images(path):
            yield Mention(name, uri=uri)


def read_csv(path: str) -> Iterator[Mention | Reject]:
    """Reads the captions of a file of `name.jpg| 0| caption` lines below a header.

    Quotes are part of a caption.
    """
    lines = ((n, line) for n, line in enumerate(read_lines(path), 1) if line.strip())
    next(lines)  # the header
    for number, line in lines:
        name, _, rest = line.rstrip("\r\n").partition("|")
        image_id = name.strip()
        found = _NUMBER_AND_CAPTION.fullmatch(rest)
        if found:
            caption_id = f"{image_id}#{int(found[1])}"
            mention = Mention(image_id, caption_id=caption_id, order=int(found[1]))
        else:
            mention = Mention("", caption_id=f"{path}:{number}")
        text = found[2] if found else ""
        yield from with_caption(mention, text, path, "name.jpg| 0| caption")


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.split("|")]
