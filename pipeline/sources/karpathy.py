"""The source `karpathy`: Flickr8k, Flickr30k or COCO in the splits of Karpathy & Fei-Fei (2015).

    dataset_coco.json
        {"images": [{"filename": "COCO_val2014_000000391895.jpg", "filepath": "val2014",
                     "split": "test", "cocoid": 391895,
                     "sentences": [{"raw": "A man .", "sentid": 770337}]}]}
    train2014/, val2014/      the photographs of COCO, in the folder that `filepath` names
    images/                   the photographs of the others, which have no `filepath`

`restval` are 30,504 images of COCO's validation set that papers on it train on. If they are left
out, they are listed among the rejects in no split, which do not count against `--max_rejected`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import Reject, printable
from pipeline.sources import flickr8k, flickr30k
from pipeline.sources.files import (
    check_directory,
    check_no_wildcards,
    first_directory,
    first_file,
    is_directory,
    join_path,
    matching_files,
    same_path,
)
from pipeline.sources.json_files import read_json_list
from pipeline.sources.mentions import (
    Mention,
    Source,
    field,
    is_text,
    malformed_entry,
    with_caption,
)
from pipeline.sources.split_names import known_names
from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import number_of

PATTERN = "dataset_*.json"
IMAGE_DIRECTORIES = tuple(
    dict.fromkeys(flickr8k.IMAGE_DIRECTORIES + flickr30k.IMAGE_DIRECTORIES)  # without repetition
)


class KarpathyPart(NamedTuple):
    """The one file of the source."""

    path: str
    images: str  # directory of the images
    splits: dict[str, str]  # name in the file -> split of beamcap


def find_karpathy(
    path: str, image_directory: str, split_names: Mapping[str, str], needs_images: bool = True
) -> Source:
    """Finds the file and its images.

    Args:
      path: path of the file, or of a directory that has one.
      image_directory: the directory of the images; "" if they are next to the file, directly or in
        one of IMAGE_DIRECTORIES.
      split_names: names of splits in the file.
      needs_images: False searches for no images.

    Raises:
      InputError: something is missing or cannot be used; the message names it.
    """
    file = _find_file(path)
    images = _find_images(file, image_directory, needs_images)
    part = KarpathyPart(file, images, dict(split_names))
    by = "the field `split`" if split_names else ""
    return Source([part], read_part, file, images, by, names_may_collide=True)


def read_part(part: KarpathyPart) -> Iterator[Mention | Reject]:
    """Reads the file.

    Yields:
      A mention for each image, and a mention or a reject for each of its sentences. An image
      without a file name is mentioned by its position, so that it counts as a lost image.

    Raises:
      InputError: the file is not valid JSON, or an image has an unknown split.
    """
    for number, entry in enumerate(read_json_list(part.path, "images")):
        place = printable(f"{part.path}:images[{number}]")
        name, folder = field(entry, "filename"), field(entry, "filepath") or ""
        split = _split(field(entry, "split"), place, part)
        if not is_text(name) or (folder and not is_text(folder)):
            expected = "a text `filename` and, if any, a text `filepath`"
            yield malformed_entry(place, part.path, expected, entry)
            yield Mention(place, split=split, is_listing=True)
            continue
        path = f"{folder}/{name}" if folder else name
        uri = printable(join_path(part.images, path))
        mention = Mention(
            same_path(uri),
            split,
            has_integer_id=_ends_in_number(name, field(entry, "cocoid")),
            image_id=name,
            full_id=same_path(path),
        )
        yield mention._replace(uri=uri, is_listing=True)
        sentences = field(entry, "sentences")
        if not isinstance(sentences, list):
            yield malformed_entry(place, part.path, "a list `sentences`", entry)
            continue
        for order, sentence in enumerate(sentences):
            yield from _read_sentence(sentence, mention, f"{place}.sentences[{order}]", part)


def _read_sentence(sentence: Any, image: Mention, place: str, part: KarpathyPart) -> Iterator[Any]:
    id, text = field(sentence, "sentid"), field(sentence, "raw")
    if type(id) is int and isinstance(text, str):
        mention = image._replace(caption_id=str(id), order=id)
        yield from with_caption(mention, text, part.path, "filename")
    else:
        yield malformed_entry(place, part.path, "a number `sentid` and a text `raw`", sentence)


def _ends_in_number(name: str, number: Any) -> bool:
    """Whether an image's name ends in its id in COCO's own annotations, as COCO's names do."""
    return type(number) is int and number_of(name) == number


def _split(name: Any, place: str, part: KarpathyPart) -> str:
    if not part.splits:  # splits are by hash
        return ""
    if isinstance(name, str) and name.lower() in part.splits:
        return part.splits[name.lower()]
    raise InputError(f"{place} is of split {name!r}, must be one of: {known_names(part.splits)}")


def _find_file(path: str) -> str:
    check_no_wildcards(path)
    if not is_directory(path):
        if not FileSystems.exists(path):
            raise InputError(f"--input: {path} does not exist: a {PATTERN} or its directory")
        return path
    files = matching_files(path, PATTERN)
    if len(files) != 1:
        found = ", ".join(files) or "none"
        raise InputError(f"--input: {path} must hold one {PATTERN}, it holds {found}")
    return files[0]


def _find_images(file: str, image_directory: str, needs_images: bool) -> str:
    folder, name = _first_image(file)
    if image_directory:
        check_directory(image_directory, "--image_directory")
        if folder and first_directory(image_directory, [folder]) is None:
            raise InputError(
                f"--image_directory: {image_directory} has no directory {folder}, "
                f"in which {file} has its first image"
            )
        return image_directory
    beside = FileSystems.split(file)[0]
    for images in IMAGE_DIRECTORIES:
        if first_directory(beside, [FileSystems.join(images, folder)]):
            return FileSystems.join(beside, images)
    # The file's own directory always exists, so it must have the folder or the image.
    if first_directory(beside, [folder]) if folder else first_file(beside, [name]):
        return beside
    if not needs_images:
        return beside  # no image is opened, and the path still identifies images
    raise InputError(
        f"--input: the images of {file} are not beside it: no {folder or name} in {beside} or in "
        f"one of {', '.join(IMAGE_DIRECTORIES)} there; --image_directory names another place"
    )


def _first_image(file: str) -> tuple[str, str]:
    """The folder and the name of the first image with a name."""
    for entry in read_json_list(file, "images"):
        name, folder = field(entry, "filename"), field(entry, "filepath")
        if is_text(name):
            return folder if is_text(folder) else "", name
    raise InputError(f"--input: not one image in {file} has a text `filename`")
