"""The manifest: the handshake between the pipeline and the trainer.

It is the last file that the pipeline writes, so a directory that has one is a whole dataset.
It says what should be there (files, counts, sizes, fingerprints), so a reader can tell that it is.
"""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from tfrecords_schema import vocabulary
from tfrecords_schema.atomic_file import read_text, write_text
from tfrecords_schema.errors import InputError
from tfrecords_schema.features import IMAGE_DTYPE, record_features

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocabulary.txt"
ENCODER_DIRECTORY = "image_encoder"
ENCODER_KERAS_FILE = "image_encoder.keras"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One complete shard."""

    file: str  # name within the dataset directory
    images: int
    captions: int
    bytes: int
    sha256: str  # of the file


@dataclasses.dataclass(frozen=True)
class Books:
    """What became of the images of one split: read = written + rejected + duplicates.

    `duplicates` counts the second and later mentions of one image in the source; the image
    itself is counted as written or rejected.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    duplicates: int = 0

    def balance(self) -> bool:
        """Whether every image read is accounted for."""
        return self.read == self.written + self.rejected + self.duplicates


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The image encoder that made the features."""

    name: str
    sha256: str  # of its weights and of all else that makes the features of an image
    image_size: int  # side of its square input, pixels
    feature_shape: tuple[
        int, ...
    ]  # (height, width, depth), (depth,) or, of images, (side, side, 3)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A whole dataset. `books` also has the row `unassigned`, of images in no split."""

    splits: dict[str, list[Shard]]
    books: dict[str, Books]
    captions_rejected: int
    vocabulary_size: int
    vocabulary_sha256: str
    encoder: Encoder | None  # None: a dataset of text alone
    feature_dtype: str
    config: dict[str, Any]  # of the pipeline that wrote it
    versions: dict[str, str]  # package -> version that wrote it
    schema_version: int = SCHEMA_VERSION

    def images(self, split: str) -> int:
        """Number of images in the split; 0 where there is no such split."""
        return sum(shard.images for shard in self.splits.get(split, []))

    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one image's features; of images, (side, side, 3).

        Raises:
          InputError: the dataset is one of text alone.
        """
        if self.encoder is None:
            raise InputError(
                "--data: this dataset was written with --features=none and has no image features: "
                "write one with --features=grid to train on"
            )
        return self.encoder.feature_shape

    def has_images(self) -> bool:
        """Whether the records hold images in place of features."""
        return self.feature_dtype == IMAGE_DTYPE

    def features(self) -> tfds.features.FeaturesDict:
        """The feature table of the records."""
        shape = None if self.encoder is None else self.encoder.feature_shape
        return record_features(shape, self.feature_dtype)

    def fingerprints(self) -> dict[str, str]:
        """What checkpoints and exports carry on, to be told from another dataset's."""
        encoder = "" if self.encoder is None else self.encoder.sha256
        return {"vocabulary_sha256": self.vocabulary_sha256, "encoder_sha256": encoder}


def write_manifest(directory: str, manifest: Manifest) -> None:
    """Writes the manifest; call it when everything else is complete."""
    text = json.dumps(dataclasses.asdict(manifest), indent=2) + "\n"
    write_text(os.path.join(directory, MANIFEST_FILE), text)


def read_manifest(directory: str) -> Manifest:
    """Reads the manifest of the dataset at `directory`.

    Raises:
      InputError: no dataset is there, it is not complete, or another version wrote it.
    """
    path = os.path.join(directory, MANIFEST_FILE)
    if not tf.io.gfile.isdir(directory):
        raise InputError(f"dataset directory {directory} does not exist")
    if not tf.io.gfile.exists(path):
        raise InputError(
            f"{directory} has no {MANIFEST_FILE}: it is no beamcap dataset, or its pipeline did "
            "not finish (run the same pipeline command again to continue it)"
        )
    try:
        fields = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this beamcap reads {SCHEMA_VERSION}: "
            "write the dataset again with this version's pipeline"
        )
    try:
        fields["splits"] = {k: [Shard(**s) for s in v] for k, v in fields["splits"].items()}
        fields["books"] = {k: Books(**v) for k, v in fields["books"].items()}
        if (encoder := fields["encoder"]) is not None:
            shape = tuple(encoder["feature_shape"])
            fields["encoder"] = Encoder(**encoder | {"feature_shape": shape})
        return Manifest(**fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged, a field is missing or unknown: {error}") from error


def check_dataset(directory: str, manifest: Manifest) -> None:
    """Checks that vocabulary and shards are those of the manifest, by fingerprint and size.

    Shards are not read; a shard damaged without a change of size is found by its record CRCs
    when it is read.

    Raises:
      InputError: naming the file and the difference.
    """
    path = os.path.join(directory, VOCABULARY_FILE)
    words = vocabulary.read_vocabulary(path)
    if words.sha256() != manifest.vocabulary_sha256:
        raise InputError(
            f"{path} is not the vocabulary this dataset was written with: its SHA-256 is "
            f"{words.sha256()}, the manifest says {manifest.vocabulary_sha256}"
        )
    for shards in manifest.splits.values():
        for shard in shards:
            path = os.path.join(directory, shard.file)
            size = tf.io.gfile.stat(path).length if tf.io.gfile.exists(path) else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise InputError(
                    f"shard {path} {found}, the manifest says {shard.bytes} bytes: "
                    "run the pipeline again to write it anew"
                )
