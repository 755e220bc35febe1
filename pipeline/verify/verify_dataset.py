"""Reads a whole dataset and finds its problems.

Beam reads the shards, so that a cluster can do the work, with the same flags as the pipeline's. The
problems pass through `receipts/problems.json` to the launcher, which prints them.
"""

import json
import os
from collections.abc import Iterator

import apache_beam as beam
import keras
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.accounting.receipts import RECEIPT_DIRECTORY
from pipeline.accounting.rejects import CAPTION, DUPLICATE, count_rejects
from pipeline.encoder.image_encoder import describe
from pipeline.engines.beam_options import BeamOptions, make_options
from pipeline.engines.local_processes import make_pipeline
from pipeline.run import REJECTS_FILE
from pipeline.text.build_vocabulary import WriteOneFile, write_json
from pipeline.verify.verify_shard import ShardToVerify, verify_shard
from tfrecords_schema import manifest as schema
from tfrecords_schema.atomic_file import TEMPORARY, read_text
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.shards import DATASET_NAME
from tfrecords_schema.vocabulary import read_vocabulary

PROBLEMS_FILE = "problems.json"  # within receipts/
LOCAL = ("--direct_running_mode=multi_threading", "--direct_num_workers=0")  # 0: one a core


def verify_dataset(directory: str | os.PathLike, beam_options: BeamOptions = LOCAL) -> list[str]:
    """Reads a whole dataset and compares it with its manifest.

    Args:
      directory: the directory of the dataset.
      beam_options: options of the runner, see `make_options`; by default a thread for each core.

    Returns:
      The problems, a line each; empty if there are none.

    Raises:
      InputError: the directory has no readable manifest.
    """
    directory = os.path.expanduser(os.fspath(directory))
    options = make_options(beam_options)
    manifest = schema.read_manifest(directory)
    problems = [
        *_check_files(directory, manifest),
        *_check_vocabulary(directory, manifest),
        *_check_encoder(directory, manifest),
        *_check_counts(directory, manifest),
        *_check_tfds(directory, manifest),
    ]
    shape = None if manifest.encoder is None else manifest.encoder.feature_shape
    asked = [
        ShardToVerify(
            directory, split, i, len(shards), shard, shape, manifest.feature_dtype,
            manifest.vocabulary_size,
        )
        for split, shards in manifest.splits.items()
        for i, shard in enumerate(shards)
    ]  # fmt: skip
    path = os.path.join(directory, RECEIPT_DIRECTORY, PROBLEMS_FILE)
    with make_pipeline(options) as pipeline:
        found = (
            pipeline
            | "Shards" >> beam.Create(asked)  # distributes them to the workers
            | "VerifyShard" >> beam.FlatMap(verify_shard)  # ("image", id) or ("problem", message)
        )
        twice = (
            found
            | "Images" >> beam.Filter(lambda item: item[0] == "image")
            | "CountImages" >> beam.combiners.Count.PerElement()  # (("image", id), times)
            | "Twice" >> beam.Filter(lambda item: item[1] > 1)
            | "TellTwice" >> beam.MapTuple(lambda item, n: f"image {item[1]} comes {n} times")
        )
        wrong = (
            found
            | "Problems" >> beam.Filter(lambda item: item[0] == "problem")
            | "Message" >> beam.Map(lambda item: item[1])
        )
        (wrong, twice) | beam.Flatten() | "WriteProblems" >> WriteOneFile(write_json, path)
    problems += json.loads(read_text(path))
    tf.io.gfile.remove(path)
    return problems


def _check_files(directory: str, manifest: schema.Manifest) -> Iterator[str]:
    expected = {shard.file for shards in manifest.splits.values() for shard in shards}
    for name in sorted(tf.io.gfile.listdir(directory)):
        if TEMPORARY in name:
            yield f"{name} is an unfinished file"
        elif name.startswith(f"{DATASET_NAME}-") and name not in expected:
            yield f"{name} is not in the manifest"


def _check_vocabulary(directory: str, manifest: schema.Manifest) -> Iterator[str]:
    try:
        vocabulary = read_vocabulary(os.path.join(directory, schema.VOCABULARY_FILE))
    except InputError as error:
        yield str(error)
        return
    if vocabulary.sha256() != manifest.vocabulary_sha256:
        yield (
            f"{schema.VOCABULARY_FILE} has SHA-256 {vocabulary.sha256()}, the manifest says "
            f"{manifest.vocabulary_sha256}"
        )


def _check_encoder(directory: str, manifest: schema.Manifest) -> Iterator[str]:
    if manifest.encoder is None:
        return
    try:
        model = keras.models.load_model(os.path.join(directory, schema.ENCODER_KERAS_FILE))
        found = describe(model, manifest.config)
        encoder = tf.saved_model.load(os.path.join(directory, schema.ENCODER_DIRECTORY))
        side = manifest.encoder.image_size
        [encoded] = encoder.encode(tf.zeros([1, side, side, 3]))
        is_image = encoded.dtype == tf.string
        shape = tuple((tf.io.decode_jpeg(encoded) if is_image else encoded).shape)
    except (OSError, ValueError, tf.errors.OpError) as error:
        yield f"the image encoder cannot be loaded: {one_line(error)}"
        return
    if found != manifest.encoder:
        yield f"{schema.ENCODER_KERAS_FILE} is {found}, the manifest says {manifest.encoder}"
    if shape != manifest.encoder.feature_shape:
        yield (
            f"{schema.ENCODER_DIRECTORY} gives features of shape {shape}, the manifest says "
            f"{manifest.encoder.feature_shape}"
        )


def _check_counts(directory: str, manifest: schema.Manifest) -> Iterator[str]:
    path = os.path.join(directory, REJECTS_FILE)
    if not tf.io.gfile.exists(path):
        yield f"{REJECTS_FILE} is missing"
        return
    try:
        rejected = count_rejects(path)
    except (OSError, ValueError) as error:
        yield f"{REJECTS_FILE} cannot be read: {one_line(error)}"
        return
    for split, counts in manifest.image_counts.items():
        rows = {stage: n for (of, stage), n in rejected.items() if of == split}
        duplicates = rows.pop(DUPLICATE, 0)
        rows.pop(CAPTION, 0)
        if not counts.add_up():
            yield f"the images of {split} do not add up: {counts}"
        if (sum(rows.values()), duplicates) != (counts.rejected, counts.duplicates):
            yield (
                f"{REJECTS_FILE} has {sum(rows.values())} rejected and {duplicates} duplicate "
                f"images of {split}, the manifest says {counts.rejected} and {counts.duplicates}"
            )
        written = manifest.images(split) if split in manifest.splits else 0
        if written != counts.written:
            yield f"the shards of {split} hold {written} images, the counts say {counts.written}"
    captions = sum(n for (_, stage), n in rejected.items() if stage == CAPTION)
    if captions != manifest.captions_rejected:
        yield (
            f"{REJECTS_FILE} has {captions} captions, the manifest says "
            f"{manifest.captions_rejected}"
        )


def _check_tfds(directory: str, manifest: schema.Manifest) -> Iterator[str]:
    try:
        info = tfds.builder_from_directory(directory).info
        features = tfds.features.FeaturesDict.from_config(directory)
    except Exception as error:  # any error of TFDS for a damaged file
        yield f"TFDS cannot read the dataset: {type(error).__name__}: {one_line(error)}"
        return
    if features.to_json() != manifest.features().to_json():
        yield "features.json is not the table of features that the manifest tells of"
    for split in manifest.splits:
        lengths = [shard.images for shard in manifest.splits[split]]
        found = info.splits[split].shard_lengths if split in info.splits else []
        if list(found) != lengths:
            yield f"dataset_info.json has {found} images in the shards of {split}, not {lengths}"
