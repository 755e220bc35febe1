"""The source `tfds`: a prepared TFDS data set, such as coco_captions, read shard by shard.

    <data_dir>/coco_captions/2014/1.1.0/
        features.json       {image: Image, image/filename: Text, captions: Sequence({text, id})}
        dataset_info.json   the splits and the number of examples in each of their shards
        coco_captions-train.tfrecord-00000-of-00064 ...

It needs neither the data set's code nor the network. Images come encoded, as they are stored, and
are copied to the staging directory, see `staged_images`. If no feature has a column's default name,
the only image or the only text is used.
"""

import contextlib
import functools
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.read_only_builder import builder_from_files

from pipeline.accounting.rejects import Reject, printable
from pipeline.sources.files import content_digest
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.staged_images import file_stamp, pack_path, stage_images
from pipeline.sources.table_rows import ROW_ORDERS, Columns, to_text, with_captions
from pipeline.sources.tfds_features import Paths, choose_features
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.source_ids import number_of


def find_tfds(
    name: str, data_dir: str, columns: Columns, staging: str, split_names: Mapping[str, str]
) -> Source:
    """Finds a prepared data set.

    Args:
      name: name of the data set, as name, name/config or name/config:version.
      data_dir: directory of prepared TFDS data sets.
      columns: names of features; a feature within another one is outer/inner.
      staging: directory for the images; '' if they are not needed.
      split_names: names of splits.

    Raises:
      InputError: the data set is not prepared, is not TFRecord, or it is ambiguous which features
        hold the image and the captions.
    """
    with _quiet():
        try:
            builder = builder_from_files(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as error:
            raise InputError(_not_there(name, data_dir)) from error
        except ValueError as error:  # an invalid name, or a damaged JSON file
            raise InputError(f"--tfds_name={name}: {one_line(error)}") from error
        if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
            raise InputError(
                f"--tfds_name={name} is stored as {builder.info.file_format.value}, which cannot "
                "be read here: prepare it as tfrecord"
            )
        paths = choose_features(name, builder.info.features, columns)
        splits = builder.info.splits
        parts = [
            part for split in sorted(splits) for part in _parts(split, splits[split], bool(staging))
        ]
    directory = str(builder.data_path)
    known = {split: split_of(split, split_names) for split in splits}
    # A data set without splits has a single split "train" in TFDS.
    has_splits = len(splits) > 1 and any(known.values())
    read = functools.partial(
        read_shard,
        directory=directory,
        paths=paths,
        staging=staging,
        splits=known,
        id_is_given=bool(columns.id),
    )
    return Source(
        parts,
        read,
        directory,
        directory,
        "the splits of TFDS" if has_splits else "",
        tuple(sorted({*known.values()} - {""})) if has_splits else (),
        names_may_collide=bool(paths.id) and not columns.id,
    )


def split_of(name: str, split_names: Mapping[str, str]) -> str:
    """The split for TFDS's split `name`; '' if it is none of the three, or without names."""
    if not split_names:  # images are split by hash
        return ""
    if name.lower() in split_names:
        return split_names[name.lower()]
    beginnings = {"train": "train", "val": "validation", "dev": "validation", "test": "test"}
    return next((s for beginning, s in beginnings.items() if name.startswith(beginning)), "")


def read_shard(
    part: tuple[Any, ...],
    directory: str,
    paths: Paths,
    staging: str,
    splits: Mapping[str, str],
    id_is_given: bool,
) -> Iterator[Mention | Reject]:
    """Reads one shard.

    Images are identified by their bytes, since several may have one name in the data set.

    Args:
      part: (TFDS's split, first example, the one after the last, file, stamp).
      directory: directory of the prepared data set.
      paths: paths of the features.
      staging: see `find_tfds`.
      splits: TFDS's split -> train, validation, test or ''.
      id_is_given: whether the user named the id, which then identifies images.

    Yields:
      A mention or a reject a caption, and at least one mention an example.

    Raises:
      InputError: the shard is damaged.
    """
    split, first_index, _, path, _ = part
    read = functools.partial(_read_examples, part, directory, paths)
    rows: Iterable[tuple] = (
        (row, "", i, content_digest(image) if image else "")
        for i, (row, image) in enumerate(read(True))
    )
    if staging:
        rows = stage_images(pack_path(staging, *part, paths.image), read)
    for i, (example, location, first, content) in enumerate(rows):
        place = f"{split}:{first_index + i}"
        name = _get(example, paths.id) if paths.id else b""
        image_id = str(name) if isinstance(name, int) else printable(to_text(name) or "").strip()
        picture = f"{splits[split]}:{content}" if content else place
        mention = Mention(
            (id_is_given and image_id) or picture,
            splits[split],
            uri=f"{path}#row={first}" if content else "",
            location=location,
            caption_id=place,
            order=(first_index + i) * ROW_ORDERS,
            has_integer_id=id_is_given and isinstance(name, int) and number_of(image_id) == name,
            image_id=image_id or place,
            full_id=place,
            content=content,
        )
        yield from with_captions(mention, _get(example, paths.caption), path)


def _parts(split: str, info: Any, is_staged: bool) -> Iterator[tuple[Any, ...]]:
    first = 0
    for length, path in zip(info.shard_lengths, map(str, info.filepaths), strict=True):
        if length:
            stamp = file_stamp(path) if is_staged else None
            yield split, first, first + length, path, stamp
        first += length


def _read_examples(
    part: tuple[Any, ...], directory: str, paths: Paths, with_images: bool
) -> Iterator[tuple[dict, bytes | None]]:
    split, first, after, path, _ = part
    wanted = [paths.caption, *[paths.id] * bool(paths.id), *[paths.image] * with_images]
    encoded = _tree([paths.image], tfds.decode.SkipDecoding()) if with_images else None
    try:
        with _quiet():
            examples = tfds.builder_from_directory(directory).as_dataset(
                split=tfds.core.ReadInstruction(split, from_=first, to=after, unit="abs"),
                decoders=tfds.decode.PartialDecoding(_tree(wanted, True), decoders=encoded),
                read_config=tfds.ReadConfig(try_autocache=False),
                shuffle_files=False,
            )
        for example in examples.as_numpy_iterator():
            yield example, _get(example, paths.image) if with_images else None
    except tf.errors.OpError as error:
        raise InputError(f"--input: {path} cannot be read: {one_line(error)}") from error


def _tree(paths: list[tuple[str, ...]], leaf: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for *outer, key in paths:
        functools.reduce(lambda node, k: node.setdefault(k, {}), outer, tree)[key] = leaf
    return tree


def _get(example: dict, path: tuple[str, ...]) -> Any:
    value = functools.reduce(operator.getitem, path, example)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _not_there(name: str, data_dir: str) -> str:
    there = tf.io.gfile.listdir(data_dir) if tf.io.gfile.isdir(data_dir) else []
    names = ", ".join(sorted(item.rstrip("/") for item in there)) or "nothing"
    return (
        f"--tfds_name={name} is not prepared in --input={data_dir}, which holds: {names}. "
        f"Prepare it with `tfds build {name} --data_dir={data_dir}`"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides TFDS's warnings of its own deprecated names, within the context."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
