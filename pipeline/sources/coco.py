"""The source `coco`: COCO captions (Chen et al. 2015), or any data set in that format.

    annotations/captions_train2014.json
        {"images": [{"id": 391895, "file_name": "COCO_train2014_000000391895.jpg"}],
         "annotations": [{"id": 770337, "image_id": 391895, "caption": "A man ."}]}
    annotations/captions_val2014.json
    train2014/, val2014/                  the photographs, also in `images`

Image numbers are only unique within a file, so a picture is identified by the path that `file_name`
leads to. Replacing the number in the annotations would need a table of all images in every worker.
So each file is read twice as a stream, once for each of its lists. Mentions are first joined by
number and then, if there are several files, by path.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import Reject, printable
from pipeline.config import LEAVE_OUT
from pipeline.sources.files import (
    WILDCARDS,
    check_directory,
    find_files,
    is_directory,
    join_path,
    matching_files,
)
from pipeline.sources.json_files import NoListError, read_json_list
from pipeline.sources.mentions import (
    Mention,
    Source,
    field,
    is_text,
    malformed_entry,
    with_caption,
)
from pipeline.sources.split_names import BY_NAME, splits_of_paths
from pipeline.sources.table_rows import short_names
from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import number_of

IMAGES, ANNOTATIONS = "images", "annotations"  # the lists of a captions file
PATTERN = "captions_*.json"
PROBED = 20  # images of a file that are searched for, to find the directory of all of them


class CocoPart(NamedTuple):
    """One list of one captions file."""

    path: str
    name: str  # name of the list
    split: str  # split of the images
    images: str  # directory of the images
    file: str = ""  # unique name of the captions file, its release; "" if it is the only one


def find_coco(
    path: str, image_directory: str, split_names: Mapping[str, str], needs_images: bool = True
) -> Source:
    """Finds the captions files at `path` and the directories of their images.

    Args:
      path: a captions file, a pattern, or a directory with such files or a folder `annotations`.
      image_directory: directory of folders such as train2014, or of all images; "" if these folders
        are in the input directory or its folder `images`.
      split_names: names of splits in the names of captions files.
      needs_images: False searches for no images.

    Raises:
      InputError: something is missing or cannot be used; the message names it.
    """
    if image_directory:
        check_directory(image_directory, "--image_directory")
    paths, directory = _find_annotations(path)
    splits = splits_of_paths(paths, split_names)
    wanted = [i for i, split in enumerate(splits) if split != LEAVE_OUT]
    paths, splits = [paths[i] for i in wanted], [splits[i] for i in wanted]
    if not paths:
        raise InputError(f"--input: --split_names leaves out every captions file of {path}")
    _check_one_release(paths)
    parts = []
    for file, name, split in zip(paths, _file_names(paths), splits, strict=True):
        _check_captions(file, split, split_names)
        images = _find_images(file, directory, image_directory, needs_images)
        parts += [CocoPart(file, kind, split, images, name) for kind in (IMAGES, ANNOTATIONS)]
    return Source(
        parts,
        read_part,
        ", ".join(paths),
        image_directory or directory,
        BY_NAME if any(splits) else "",
        tuple(sorted({*splits} - {""})),
        names_may_collide=len(paths) > 1,
        keys_are_references=len(paths) > 1,
    )


def read_part(part: CocoPart) -> Iterator[Mention | Reject]:
    """Reads one list of one captions file.

    Yields:
      A mention or a reject for each entry. An image with an id but no file name gives both. It
      counts as an image, which the join rejects for lack of a file.

    Raises:
      InputError: the file is not valid JSON or does not have that list.
    """
    read_entry = _read_image if part.name == IMAGES else _read_annotation
    for number, entry in enumerate(read_json_list(part.path, part.name)):
        yield from read_entry(entry, f"{part.path}:{part.name}[{number}]", part)


def _read_image(entry: Any, place: str, part: CocoPart) -> Iterator[Mention | Reject]:
    image_id, name = _id(field(entry, "id")), field(entry, "file_name")
    uri = printable(join_path(part.images, name)) if is_text(name) else ""
    if image_id:
        yield _mention(entry["id"], part)._replace(uri=uri, is_listing=True)
    if not (image_id and uri):
        expected = "an `id`, a number or a text, and a text `file_name`"
        yield malformed_entry(place, part.path, expected, entry)


def _read_annotation(entry: Any, place: str, part: CocoPart) -> Iterator[Mention | Reject]:
    id, image_id, text = (field(entry, name) for name in ("id", "image_id", "caption"))
    caption_id = _id(id) if id is not None else place
    if _id(image_id) and caption_id and isinstance(text, str):
        caption_id = f"{part.file}:{caption_id}" if part.file else caption_id
        order = id if type(id) is int and abs(id) < 2**63 else 0
        mention = _mention(image_id, part)._replace(caption_id=caption_id, order=order)
        yield from with_caption(mention, text, part.path, "image_id")
    else:
        expected = "an `id` and `image_id`, each a number or a text, and a text `caption`"
        yield malformed_entry(place, part.path, expected, entry)


def _mention(value: Any, part: CocoPart) -> Mention:
    """A mention of the image with this id."""
    image_id = _id(value)
    is_integer = type(value) is int and number_of(image_id) == value
    if not part.file:
        return Mention(image_id, part.split, has_integer_id=is_integer)
    key, full_id = f"{part.file}:{image_id}", f"{part.file}/{image_id}"
    return Mention(key, part.split, has_integer_id=is_integer, image_id=image_id, full_id=full_id)


def _id(value: Any) -> str:
    """The id as text; "" if it is not a valid id."""
    if type(value) is int:  # not a bool
        return str(value)
    return value.strip() if is_text(value) else ""


def _find_annotations(path: str) -> tuple[list[str], str]:
    """The captions files, and the directory in which image folders are searched for."""
    if any(character in path for character in WILDCARDS) or not is_directory(path):
        files = find_files(path, (".json", ".json.gz"))
        folder = FileSystems.split(files[0])[0]
        above, name = FileSystems.split(folder)
        return files, above if name == ANNOTATIONS else folder
    folders = [path, FileSystems.join(path, ANNOTATIONS)]
    for folder in folders:
        if files := matching_files(folder, PATTERN):
            return files, path
    for folder in folders:  # other names, such as VizWiz's train.json
        if files := [file for file in matching_files(folder, "*.json") if _may_be_captions(file)]:
            return files, path
    raise InputError(
        f"--input: neither {folders[0]} nor {folders[1]} has a {PATTERN} or another captions file"
    )


def _may_be_captions(path: str) -> bool:
    """Whether a file has images, and annotations, if any, that are captions."""
    if _first(path, IMAGES) is None:
        return False
    annotation = _first(path, ANNOTATIONS)
    return annotation is None or field(annotation, "caption") is not None


def _first(path: str, name: str) -> Any:
    """The first entry of a list in a JSON file; None if there is no such list."""
    try:
        return next(read_json_list(path, name))
    except NoListError:
        return None


def _check_captions(path: str, split: str, split_names: Mapping[str, str]) -> None:
    """Raises InputError if a file is no captions file, judged by the start of its lists."""
    next(read_json_list(path, IMAGES))
    if not split:
        next(read_json_list(path, ANNOTATIONS))
    elif field(_first(path, ANNOTATIONS), "caption") is None:
        release = _release(path).lower()
        name = next((name for name in split_names if name in release), split)
        raise InputError(
            f"--input: {path} has images, but its first annotation has no `caption`; "
            f"--split_names={name}={LEAVE_OUT} leaves it out"
        )


def _check_one_release(paths: Sequence[str]) -> None:
    """Raises InputError for files of 2014 and 2017, which split the same images differently."""
    years = sorted({year for path in paths for year in re.findall(r"20\d\d", _release(path))})
    if len(years) > 1:
        raise InputError(
            f"--input: {', '.join(paths)} are of {' and '.join(years)}, which divide the same "
            "images into different splits: keep the files of one year there"
        )


def _find_images(path: str, directory: str, image_directory: str, needs_images: bool) -> str:
    """The directory to which the file names of a captions file are relative."""
    release = _release(path)
    names = [release, *re.findall(r"[a-z]+", release.lower())]  # val2014, val
    within = list(dict.fromkeys(f"{above}{name}" for above in ("", "images/") for name in names))
    base = image_directory or directory
    there = [FileSystems.join(base, name) for name in within]
    folders = [folder for folder in there if is_directory(folder)]
    # File names may include the folder, or all images may be in one folder.
    candidates = [*folders, base, FileSystems.join(base, "images")]
    entries = itertools.islice(read_json_list(path, IMAGES), PROBED)
    for name in filter(is_text, (field(entry, "file_name") for entry in entries)):
        for folder in candidates:
            if FileSystems.exists(join_path(folder, name)):
                return folder
    if folders or image_directory:
        return candidates[0]  # each missing image gets a reject
    if not needs_images:
        return there[0]  # no image is opened, and the path still identifies images
    raise InputError(
        f"--input: {directory} has neither {' nor '.join(within)} with the images of {path}, nor "
        f"the images themselves; --image_directory names another place"
    )


def _file_names(paths: Sequence[str]) -> list[str]:
    """A unique name for each captions file, its release if that is unique; "" for a single file."""
    if len(paths) == 1:
        return [""]
    names = [_release(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    return [name.removesuffix(".gz").removesuffix(".json") for name in short_names(paths)]


def _release(path: str) -> str:
    """The release of a captions file, such as train2014 for captions_train2014.json."""
    name = FileSystems.split(path)[1]
    return name.partition(".json")[0].removeprefix("captions_")
