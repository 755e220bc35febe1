"""The manifest, the interface between the pipeline and the trainer.

It is the last file that the pipeline writes, so a directory with a manifest is a complete dataset.
It lists the files, counts, sizes and fingerprints, so that a reader can check them.
"""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from tfrecords_schema import vocabulary
from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.feature_dtypes import IMAGE_DTYPE
from tfrecords_schema.features import record_features
from tfrecords_schema.json_fields import JsonError, make_instance, read_json_object

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocabulary.txt"
ENCODER_DIRECTORY = "image_encoder"
ENCODER_KERAS_FILE = "image_encoder.keras"
IMAGE_COUNTS = "books"  # the field's name in the file


@dataclasses.dataclass(frozen=True)
class Shard:
    """One complete shard."""

    file: str  # name within the dataset directory
    images: int
    captions: int
    bytes: int
    sha256: str  # SHA-256 of the file


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """Counts of one split's images: read = written + rejected + duplicates.

    `duplicates` counts the second and later mentions of one image in the source; the image
    itself is counted as written or rejected.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    duplicates: int = 0

    def add_up(self) -> bool:
        """Whether every image read is accounted for."""
        return self.read == self.written + self.rejected + self.duplicates


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The image encoder that computed the features."""

    name: str
    sha256: str  # of its weights and of everything else that affects the features of an image
    image_size: int  # side of its square input, pixels
    feature_shape: tuple[
        int, ...
    ]  # (height, width, depth), (depth,) or, of images, (side, side, 3)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A complete dataset.

    `image_counts` also has the row `unassigned`, for images in no split. In the file its name is
    `books`, which every version reads.
    """

    splits: dict[str, list[Shard]]
    image_counts: dict[str, ImageCounts]
    captions_rejected: int
    vocabulary_size: int
    vocabulary_sha256: str
    encoder: Encoder | None  # None: a dataset of text alone
    feature_dtype: str
    config: dict[str, Any]  # configuration of the pipeline that wrote it
    versions: dict[str, str]  # package -> version that wrote it
    schema_version: int = SCHEMA_VERSION
    # Whether ids that end in a number are that integer in the source, see `source_ids`. Also False
    # if an earlier version wrote the dataset.
    integer_ids: bool = False

    def images(self, split: str) -> int:
        """The number of images in a split; 0 if there is no such split."""
        return sum(shard.images for shard in self.splits.get(split, []))

    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one image's features, or (side, side, 3) if the records hold images.

        Raises:
          InputError: the dataset is text alone.
        """
        if self.encoder is None:
            raise InputError(
                "--data: this dataset was written with --features=none and has no image features: "
                "write one with --features=grid to train on"
            )
        return self.encoder.feature_shape

    def has_images(self) -> bool:
        """Whether the records hold images instead of features."""
        return self.feature_dtype == IMAGE_DTYPE

    def features(self) -> tfds.features.FeaturesDict:
        """The feature table of the records."""
        shape = None if self.encoder is None else self.encoder.feature_shape
        return record_features(shape, self.feature_dtype)

    def fingerprints(self) -> dict[str, str]:
        """The fingerprints in checkpoints and exports, which identify this dataset."""
        encoder = "" if self.encoder is None else self.encoder.sha256
        return {"vocabulary_sha256": self.vocabulary_sha256, "encoder_sha256": encoder}


def write_manifest(directory: str, manifest: Manifest) -> None:
    """Writes the manifest; call it when everything else is complete."""
    fields = dataclasses.asdict(manifest)
    named = {IMAGE_COUNTS if name == "image_counts" else name: fields[name] for name in fields}
    write_text(os.path.join(directory, MANIFEST_FILE), json.dumps(named, indent=2) + "\n")


def read_manifest(directory: str) -> Manifest:
    """Reads the manifest of the dataset at `directory`.

    Raises:
      InputError: there is no dataset, it is incomplete, or another version wrote it.
    """
    path = os.path.join(directory, MANIFEST_FILE)
    try:
        if not tf.io.gfile.exists(path):
            if not tf.io.gfile.isdir(directory):
                raise InputError(f"dataset directory {directory} does not exist")
            raise InputError(
                f"{directory} has no {MANIFEST_FILE}: it is no beamcap dataset, or its pipeline "
                "did not finish (run the same pipeline command again to continue it)"
            )
        fields = read_json_object(path)
    except (OSError, tf.errors.OpError) as error:  # also for a missing bucket
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error
    except JsonError as error:
        raise InputError(f"{path} is damaged: {error}. {write_anew(MANIFEST_FILE)}") from error
    if (version := fields.get("schema_version")) != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this beamcap reads {SCHEMA_VERSION}: "
            "write the dataset again with this version's pipeline"
        )
    try:
        return _make_manifest(fields)
    except (JsonError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path} is damaged: {reason}. {write_anew(MANIFEST_FILE)}") from error


def _make_manifest(fields: dict[str, Any]) -> Manifest:
    fields = dict(fields)
    splits, counts, encoder = fields["splits"], fields.pop(IMAGE_COUNTS), fields["encoder"]
    if encoder is not None:
        shape = tuple(encoder["feature_shape"])
        if not all(isinstance(side, int) for side in shape):
            raise JsonError(f"field encoder.feature_shape is {list(shape)}, it must be of integers")
        encoder = make_instance(Encoder, {**encoder, "feature_shape": shape}, "encoder")
    inner = {
        "splits": {
            split: [make_instance(Shard, shard, f"splits.{split}") for shard in shards]
            for split, shards in splits.items()
        },
        "image_counts": {
            split: make_instance(ImageCounts, row, f"{IMAGE_COUNTS}.{split}")
            for split, row in counts.items()
        },
        "encoder": encoder,
    }
    manifest = make_instance(Manifest, {**fields, **inner})
    manifest.features()  # raises an error if the features are invalid
    return manifest


def write_anew(*files: str) -> str:
    """The advice for damaged files of a dataset."""
    names = " and ".join(dict.fromkeys((*files, MANIFEST_FILE)))
    return (
        f"Copy the dataset anew, or remove its {names} and give the command of its pipeline again: "
        "it writes what is missing"
    )


def check_dataset(directory: str, manifest: Manifest) -> vocabulary.Vocabulary:
    """Checks the vocabulary and the shards against the manifest, by fingerprint and size.

    Shards are not read. A damaged shard of unchanged size is detected by its record CRCs when it
    is read.

    Returns:
      The vocabulary.

    Raises:
      InputError: a file differs; the message names the file and the difference.
    """
    path = os.path.join(directory, VOCABULARY_FILE)
    try:
        words = vocabulary.read_vocabulary(path)
    except InputError as error:
        raise InputError(f"{error}. {write_anew(VOCABULARY_FILE)}") from error
    if words.sha256() != manifest.vocabulary_sha256:
        raise InputError(
            f"{path} is not the vocabulary this dataset was written with: its SHA-256 is "
            f"{words.sha256()}, the manifest says {manifest.vocabulary_sha256}. "
            f"{write_anew(VOCABULARY_FILE)}"
        )
    if len(words) != manifest.vocabulary_size:
        raise InputError(
            f"{os.path.join(directory, MANIFEST_FILE)} is damaged: it says that the vocabulary has "
            f"{manifest.vocabulary_size} tokens, {path} has {len(words)}. "
            f"{write_anew(MANIFEST_FILE)}"
        )
    for shards in manifest.splits.values():
        for shard in shards:
            path = os.path.join(directory, shard.file)
            size = tf.io.gfile.stat(path).length if tf.io.gfile.exists(path) else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise InputError(
                    f"shard {path} {found}, the manifest says {shard.bytes} bytes. "
                    f"{write_anew(shard.file)}"
                )
            if (shard.images > 0) != (shard.bytes > 0):
                raise InputError(
                    f"shard {path} has {shard.bytes} bytes, the manifest says {shard.images} "
                    f"images. {write_anew(shard.file)}"
                )
    return words
