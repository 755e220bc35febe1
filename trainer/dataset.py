"""From shards to batches.

Training: shards in an order drawn from (seed, epoch), interleaved, shuffled; images grouped into
batches by the length of their longest caption, so that the captions of a batch end at about the
same step. Each replica gets its slice of the same global batch, whatever the number of replicas
and workers. An epoch is made of segments, groups of shards that share no batch, so that a run
continued in the middle of an epoch reads no more than a segment to find its place. The last batches
of a segment are padded with images without captions, never dropped.

Evaluation: the images in file order, the last batch padded likewise.
"""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrecords_schema.manifest import Manifest
from tfrecords_schema.parse import caption_shapes, parse_batch, parse_record

LENGTHS_AT_ONCE = 64  # records
SHUFFLE_IMAGES = 1024  # 128 MB of 7x7x1280 float16 grids
READ_AT_ONCE, READERS = 8, 2  # shards, threads
PARSE_AT_ONCE = 2  # batches
BUCKETS = (12, 16, 20, 26)  # tokens of the longest caption; the last bucket has no upper bound
SEGMENT_SHARDS, SEGMENT_IMAGES, SEGMENT_BATCHES = 16, 16_384, 512  # at least


class Position(NamedTuple):
    """A place in an epoch."""

    segment: int
    batch: int  # of the segment


EPOCH_START = Position(0, 0)


def train_dataset(
    directory: str,
    manifest: Manifest,
    batch_size: int,
    seed: int,
    epoch: int,
    context: tf.distribute.InputContext,
    start: Position = EPOCH_START,
) -> tf.data.Dataset:
    """One epoch of the training split, for one input pipeline of a strategy.

    Args:
      directory: of the dataset.
      manifest: of the dataset.
      batch_size: images in a global batch; a multiple of the number of replicas.
      seed: of the run.
      epoch: from 0.
      context: of the strategy: which slice of each global batch to give.
      start: the first batch; those before it are left out.

    Returns:
      This pipeline's part of each global batch, one row a replica: image_features
      [replicas, b, ...] as stored, or images uint8 in their place, caption_ids int32
      [replicas, b, captions, T], 0 where there is nothing, image_id string [replicas, b]; and
      scalars: segment, int32, and is_last, bool.
    """
    file_seed, shuffle_seed = np.random.SeedSequence([seed, epoch]).generate_state(2)
    shards = [shard for shard in manifest.splits["train"] if shard.images]
    np.random.default_rng(file_seed).shuffle(shards)
    ends = segment_ends([shard.images for shard in shards], batch_size)
    paths = tf.constant([os.path.join(directory, shard.file) for shard in shards])

    def batches_of(segment: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices(paths[first:end])
        reader = tf.data.TFRecordDataset
        records = files.interleave(reader, READ_AT_ONCE, num_parallel_calls=READERS)
        # Records stay as in the file, of which they are no copy, until their batch is known.
        records = records.shuffle(SHUFFLE_IMAGES, shuffle_seed, False).batch(LENGTHS_AT_ONCE)
        with_shapes = records.map(lambda x: (x, caption_shapes(x)), PARSE_AT_ONCE).unbatch()
        batches = with_shapes.bucket_by_sequence_length(
            lambda _, shape: shape[1], BUCKETS, [batch_size] * (len(BUCKETS) + 1)
        )
        return batches.map(lambda serialized, shapes: (segment, serialized, shapes))

    segments = np.array([range(len(ends)), [0, *ends[:-1]], ends], np.int32)
    batches = tf.data.Dataset.from_tensor_slices(tuple(segments)).skip(start.segment)
    batches = batches.flat_map(batches_of).skip(start.batch)
    workers, replicas = context.num_input_pipelines, context.num_replicas_in_sync
    own = replicas // workers
    first, size = context.input_pipeline_id * own, batch_size // replicas

    def own_part(
        segment: tf.Tensor, serialized: tf.Tensor, shapes: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        parsed = _parse(manifest, serialized[first * size : (first + own) * size])
        inner = {
            "image_id": [],
            "image_features": manifest.feature_shape(),
            "caption_ids": tf.unstack(tf.reduce_max(shapes, axis=0)),  # of the global batch
        }
        part = {"segment": segment}
        for name, x in parsed.items():
            wanted = tf.stack([own * size, *inner[name]])
            padded = tf.pad(x, tf.stack([tf.zeros_like(wanted), wanted - tf.shape(x)], axis=1))
            part[name] = tf.reshape(padded, [own, size, *inner[name]])
        return part

    parts = batches.map(own_part, PARSE_AT_ONCE)
    return without_autotune(_with_is_last(parts).prefetch(4))


def segment_ends(images: list[int], batch_size: int) -> list[int]:
    """Where segments end, and the next ones begin, among shards of so many images each."""
    enough = max(SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size)
    ends, first, in_segment = [], 0, 0
    for end, count in enumerate(images, 1):
        in_segment += count
        if end - first >= SEGMENT_SHARDS and in_segment >= enough:
            ends.append(end)
            first, in_segment = end, 0
    return [*ends[:-1], len(images)]  # the last one has what is left, too


def _with_is_last(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches that know whether another one follows, for those who cannot be told by an error."""

    def nothing(spec: tf.TensorSpec) -> tf.Tensor:
        return tf.zeros([size or 0 for size in spec.shape], spec.dtype)

    end = tf.nest.map_structure(nothing, batches.element_spec)
    ended = tf.data.Dataset.from_tensors((end, True))
    flagged = batches.map(lambda batch: (batch, False)).concatenate(ended)

    def one_later(before: dict[str, tf.Tensor], element: tuple) -> tuple:
        batch, is_end = element
        return batch, {**before, "is_last": is_end}

    return flagged.scan(end, one_later).skip(1)  # the first is what the scan began with


def evaluation_dataset(
    directory: str, manifest: Manifest, split: str, batch_size: int
) -> tf.data.Dataset:
    """A split in file order.

    Returns:
      Batches of image_id string [batch_size] (empty: padding) and image_features.
    """

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = _parse(manifest, serialized)
        del batch["caption_ids"]
        missing = batch_size - tf.shape(batch["image_id"])[0]
        return {
            name: tf.ensure_shape(
                tf.pad(x, [[0, missing]] + [[0, 0]] * (x.shape.rank - 1)),
                [batch_size, *x.shape[1:]],
            )
            for name, x in batch.items()
        }

    records = tf.data.TFRecordDataset(shard_paths(directory, manifest, split))
    return without_autotune(records.batch(batch_size).map(parse, PARSE_AT_ONCE).prefetch(2))


def _parse(manifest: Manifest, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    batch = parse_batch(manifest.features(), serialized)
    return {"image_features" if name == "image" else name: x for name, x in batch.items()}


def read_references(directory: str, manifest: Manifest, split: str) -> dict[str, list[str]]:
    """image_id -> its captions as the source has them, for scoring."""
    features = manifest.features()
    wanted = {"image_id", "captions"}
    records = tf.data.TFRecordDataset(shard_paths(directory, manifest, split))

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return {k: v for k, v in parse_record(features, serialized).items() if k in wanted}

    return {
        record["image_id"].decode(): [text.decode() for text in record["captions"]]
        for record in without_autotune(records.map(parse, PARSE_AT_ONCE)).as_numpy_iterator()
    }


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without tf.data's autotuner.

    The autotuner's thread sleeps for ever longer, up to 60 s, and the end of the data can wait
    until it wakes. Nothing here needs it: the numbers of calls are given.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def shard_paths(directory: str, manifest: Manifest, split: str) -> list[str]:
    """The files of a split that have images."""
    return [os.path.join(directory, s.file) for s in manifest.splits[split] if s.images]
