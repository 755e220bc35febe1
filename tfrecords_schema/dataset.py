"""A dataset on disk: one object for all its readers."""

import os
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from tfrecords_schema.characters import of_characters
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import (
    ENCODER_DIRECTORY,
    ENCODER_KERAS_FILE,
    Manifest,
    check_dataset,
    read_manifest,
)
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import Vocabulary

PARSE_AT_ONCE = 2  # records, or batches, parsed in parallel


class Dataset:
    """A complete dataset, whose files match its manifest."""

    def __init__(self, directory: str, manifest: Manifest, vocabulary: Vocabulary):
        """Makes the object; use `open_dataset`."""
        self.directory, self.manifest, self.vocabulary = directory, manifest, vocabulary
        self.has_characters = of_characters(manifest.config)
        """Whether each character of a script without spaces is a word."""

    @property
    def features(self) -> tfds.features.FeaturesDict:
        """The feature table of the records."""
        return self.manifest.features()

    @property
    def splits(self) -> list[str]:
        """The splits that have images."""
        return [split for split in self.manifest.splits if self.images(split)]

    def images(self, split: str) -> int:
        """The number of images of a split; 0 if there is no such split."""
        return self.manifest.images(split)

    @property
    def encoder_path(self) -> str:
        """The path of the SavedModel from image bytes to features."""
        return os.path.join(self.directory, ENCODER_DIRECTORY)

    @property
    def encoder_keras_path(self) -> str:
        """The path of the CNN alone, a Keras model file."""
        return os.path.join(self.directory, ENCODER_KERAS_FILE)

    def shard_paths(self, split: str) -> list[str]:
        """The shard files of a split that have images, in order."""
        shards = self.manifest.splits.get(split, [])
        return [os.path.join(self.directory, shard.file) for shard in shards if shard.images]

    def records(self, split: str, images: int = -1) -> tf.data.Dataset:
        """The serialized records of the first `images` images of a split in file order; -1: all."""
        return without_autotune(tf.data.TFRecordDataset(self.shard_paths(split)).take(images))

    def parsed(self, split: str, names: Sequence[str], images: int = -1) -> tf.data.Dataset:
        """Some features of the records of a split; see `records` and `parse_record`.

        Args:
          split: the split.
          names: the names of the features.
          images: the number of images, from the first on; -1 means all.

        Returns:
          A dataset of dicts from name to a tensor or ragged tensor.
        """
        features = self.features

        @tf.autograph.experimental.do_not_convert
        def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor | tf.RaggedTensor]:
            record = parse_record(features, serialized)
            return {name: record[name] for name in names}

        return self.records(split, images).map(parse, PARSE_AT_ONCE)

    def references(self, split: str, images: int = -1) -> dict[str, list[str]]:
        """Maps the image_id of the images of `records` to their captions as in the source."""
        records = self.parsed(split, ("image_id", "captions"), images)
        return {
            record["image_id"].decode(): [text.decode() for text in record["captions"]]
            for record in records.as_numpy_iterator()
        }

    def fingerprints(self) -> dict[str, str]:
        """The fingerprints in checkpoints and exports, which identify this dataset."""
        return self.manifest.fingerprints()


def open_dataset(directory: str | os.PathLike, flag: str = "data") -> Dataset:
    """Opens the dataset in a directory.

    Shards are not read. A damaged shard of unchanged size is detected when it is read.

    Args:
      directory: the directory of the dataset.
      flag: the flag that named it, for messages.

    Raises:
      InputError: there is no complete dataset; the message begins with the flag.
    """
    directory = os.path.expanduser(os.fspath(directory))
    try:
        manifest = read_manifest(directory)
        return Dataset(directory, manifest, check_dataset(directory, manifest))
    except InputError as error:
        raise InputError(f"--{flag}: {error}") from error


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns off tf.data's autotuner for `dataset`.

    The autotuner's thread sleeps longer and longer, up to 60 s, and the end of the data may wait
    until it wakes. It is not needed here, since all parallelism is set explicitly.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
