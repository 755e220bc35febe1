"""The source `folder`: pictures, each with a text file next to it.

    pictures/train/dog.jpg      the split is the folder's name, if that is the name of a split
    pictures/train/dog.txt      a caption a line; also dog.caption, or dog.jpg.txt
    pictures/test/cat.png

A picture and its captions share their path without suffix. The id is the path of the picture within
the folder.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence

from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import Reject, printable
from pipeline.sources.files import check_directory, files_in, is_local, walk_files
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.split_names import BY_NAME, known_names
from pipeline.sources.table_rows import with_captions
from pipeline.sources.text_files import read_lines
from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import IMAGE_SUFFIXES, OTHER_FORMATS

TEXT_SUFFIXES = (".txt", ".caption")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_FORMATS)  # the decoder rejects OTHER_FORMATS by name


def find_folder(
    directory: str, caption_field: str, text_captions: str, split_names: Mapping[str, str]
) -> Source:
    """Finds the folders within a directory.

    Args:
      directory: directory of pictures and texts, or of folders of these.
      caption_field: suffix of the texts; "" means .txt and .caption.
      text_captions: `lines` for a caption a line, `whole` for one a file.
      split_names: names of folders that are splits.

    Raises:
      InputError: there are no pictures, or only some are in a folder of a split.
    """
    check_directory(directory)
    with_pictures = _folders(directory, PICTURE_SUFFIXES)
    if not with_pictures:
        raise InputError(
            f"--input: {directory} has no picture, a file that ends in {', '.join(IMAGE_SUFFIXES)}"
        )
    folders = {*with_pictures, *_folders(directory, TEXT_SUFFIXES)}
    splits = {folder: split_names.get(folder.lower(), "") for folder in sorted(folders)}
    if any(splits.values()):  # a README.txt outside of the folders has no split
        splits = {f: split for f, split in splits.items() if split or f in with_pictures}
    others = [folder or "the directory itself" for folder, split in splits.items() if not split]
    if others and any(splits.values()):
        named = next(folder for folder, split in splits.items() if split)
        raise InputError(
            f"--input: {directory}: folder {named} is a split, but there are pictures in "
            f"{', '.join(others[:5])} too. A split may be called {known_names(split_names)}; "
            "--split_fractions=0.8,0.1,0.1 splits by hash instead"
        )
    suffixes = (f".{caption_field.lower().lstrip('.')}",) if caption_field else TEXT_SUFFIXES
    read = functools.partial(
        read_folder, directory=directory, suffixes=suffixes, lines=text_captions == "lines"
    )
    by = BY_NAME if any(splits.values()) else ""
    named_splits = tuple(sorted({*splits.values()} - {""}))
    return Source(list(splits.items()), read, directory, directory, by, named_splits)


def read_folder(
    part: tuple[str, str], directory: str, suffixes: Sequence[str], lines: bool
) -> Iterator[Mention | Reject]:
    """Reads the files directly in the directory, or those at any depth below one of its folders.

    Args:
      part: (name of the folder, split); "" is the directory itself.
      directory: the directory that `--input` names.
      suffixes: suffixes of text files.
      lines: whether a text file has a caption a line.
    """
    folder, split = part
    paths = walk_files(FileSystems.join(directory, folder)) if folder else files_in(directory)
    for path in paths:
        name = _within(directory, path)
        stem, suffix = _split_suffix(name)
        if suffix in PICTURE_SUFFIXES:
            uri = printable(path)
            yield Mention(printable(stem), split, uri, image_id=printable(name))
        elif suffix in suffixes:
            stem = (
                stem if _split_suffix(stem)[1] not in PICTURE_SUFFIXES else _split_suffix(stem)[0]
            )
            mention = Mention(printable(stem), split, caption_id=printable(name))
            texts = [line for line in read_lines(path) if line.strip()]
            yield from with_captions(mention, texts if lines else " ".join(texts), path)


def _folders(directory: str, suffixes: tuple[str, ...]) -> list[str]:
    """The folders in a directory that have files with these suffixes; "" is the directory."""

    def is_wanted(path: str) -> bool:
        return path.lower().endswith(suffixes)

    if is_local(directory):
        with os.scandir(directory) as entries:
            folders = sorted(entry.name for entry in entries if entry.is_dir())
        # Each is only searched up to the first such file, since there may be millions.
        found = [f for f in folders if any(map(is_wanted, walk_files(f"{directory}/{f}")))]
        return [""] * any(map(is_wanted, files_in(directory))) + found
    names = (_within(directory, path) for path in filter(is_wanted, walk_files(directory)))
    return sorted({name.partition("/")[0] if "/" in name else "" for name in names})


def _within(directory: str, path: str) -> str:
    return path[len(directory.rstrip("/")) :].lstrip("/")


def _split_suffix(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)
    return stem, suffix.lower()
