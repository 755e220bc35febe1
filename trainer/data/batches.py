"""Makes batches from shards.

Training reads shards in the order of the epoch's plan, interleaved and shuffled. Within a window of
batches the images are sorted by the length of their longest caption, so that the captions of a
batch end at about the same step. Each reader does this with its own shards, and the batches of all
readers form a global batch; their windows keep the parts of a batch at similar length. Each replica
gets its slice of the same global batch, for any number of replicas and workers. A worker runs only
the readers of its replicas' slices. The last batches of a segment are padded with images without
captions; no image is dropped.

A reader counts the images and captions that it reads. A segment whose counts differ from the
manifest's is an error: a plan made from wrong counts leaves out images, or has empty batches. An
image without captions is an error too, since it would be taken for padding.

Evaluation reads the images in file order; its last batch is padded in the same way.
"""

import os

import numpy as np
import tensorflow as tf

from tfrecords_schema.dataset import PARSE_AT_ONCE, Dataset, without_autotune
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.parse import caption_shapes, parse_batch
from trainer.data.epoch_plan import EpochPlan

LENGTHS_AT_ONCE = 64  # records
SHUFFLE_IMAGES = 1024  # total of all readers; 128 MB of 7x7x1280 float16 grids
WINDOW_BATCHES = 8
READ_AT_ONCE, READ_THREADS = 8, 2  # shards
MISCOUNT = "shards do not hold what the manifest counts"


@tf.autograph.experimental.do_not_convert
def train_dataset(
    dataset: Dataset,
    plan: EpochPlan,
    context: tf.distribute.InputContext,
    start: int = 0,
) -> tf.data.Dataset:
    """One epoch of the training split, for one input pipeline of a strategy.

    Args:
      dataset: the dataset to read.
      plan: the plan of the epoch; its batch size is a multiple of the number of replicas.
      context: the input context of the strategy, which selects a slice of each global batch.
      start: the first batch; those before it are skipped.

    Returns:
      This pipeline's part of each of the `plan.batches - start` global batches, one row a replica:
      image_features [replicas, b, ...] as stored, or images uint8 in their place, caption_ids int32
      [replicas, b, captions, T], padded with 0 to the size that this part needs, and image_id
      string [replicas, b]. Wrong counts raise tf.errors.InvalidArgumentError with MISCOUNT in its
      message, at the end of the dataset at the latest.
    """
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    images = plan.batch_size // context.num_replicas_in_sync
    first = context.input_pipeline_id * replicas * images
    size = plan.images_of_reader
    rows_by_reader = {}
    for reader in range(plan.readers):
        rows = slice(
            max(first - reader * size, 0), min(first + replicas * images - reader * size, size)
        )
        if rows.start < rows.stop:
            rows_by_reader[reader] = rows

    segment, skipped = 0, start
    while segment < len(plan.segments) - 1 and skipped >= plan.segments[segment].batches:
        skipped -= plan.segments[segment].batches
        segment += 1
    by_reader = [_batches_of(dataset.directory, plan, reader, segment) for reader in rows_by_reader]
    batches = tf.data.Dataset.zip(tuple(by_reader)).skip(skipped)
    # A filter, unlike take, reads all readers to their ends, where they check their counts.
    left = plan.batches - start
    batches = batches.enumerate().filter(lambda i, _: i < left).map(lambda _, parts: parts)

    def own_part(*by_reader: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        shapes_X2 = tf.concat([[[1, 2]], *(shapes for _, shapes in by_reader)], axis=0)
        inner = {
            "image_id": [],
            "image_features": dataset.manifest.feature_shape(),
            "caption_ids": tf.unstack(tf.reduce_max(shapes_X2, axis=0)),
        }
        parts: dict[str, list[tf.Tensor]] = {name: [] for name in inner}
        for rows, (serialized, _) in zip(rows_by_reader.values(), by_reader, strict=True):
            for name, x in _parse(dataset.manifest, serialized[rows]).items():
                wanted = tf.stack([rows.stop - rows.start, *inner[name]])
                padding = tf.stack([tf.zeros_like(wanted), wanted - tf.shape(x)], axis=1)
                parts[name].append(tf.pad(x, padding))
        return {
            name: tf.reshape(tf.concat(parts[name], 0), [replicas, images, *inner[name]])
            for name in inner
        }

    return without_autotune(batches.map(own_part, PARSE_AT_ONCE).prefetch(4))


def _batches_of(directory: str, plan: EpochPlan, reader: int, start: int) -> tf.data.Dataset:
    """One reader's part of each batch, from segment `start` on.

    Returns:
      For each batch serialized records, string [b], b up to `plan.images_of_reader`, and their
      `caption_shapes`, int32 [b, 2]. An empty batch follows the last one.
    """
    size = plan.images_of_reader
    shards_by_segment = [segment.shards_by_reader[reader] for segment in plan.segments]
    ends = np.cumsum([len(shards) for shards in shards_by_segment])
    files = [shard.file for shards in shards_by_segment for shard in shards]
    paths = tf.constant([os.path.join(directory, file) for file in files], tf.string)
    nothing = tf.data.Dataset.from_tensors((tf.zeros([0], tf.string), tf.zeros([0, 2], tf.int32)))

    def of_segment(
        first: tf.Tensor, end: tf.Tensor, padding: tf.Tensor, counts_2: tf.Tensor
    ) -> tf.data.Dataset:
        paths_of_segment = tf.data.Dataset.from_tensor_slices(paths[first:end])
        open_shard = tf.data.TFRecordDataset
        records = paths_of_segment.interleave(
            open_shard, READ_AT_ONCE, num_parallel_calls=READ_THREADS
        )
        # Records stay serialized, without a copy, until their batch is known.
        records = records.shuffle(-(-SHUFFLE_IMAGES // plan.readers), plan.seed, False)
        records = records.batch(LENGTHS_AT_ONCE)
        with_shapes = records.map(lambda x: (x, caption_shapes(x)), PARSE_AT_ONCE)

        def count(so_far_2, some):
            serialized, shapes_X2 = some
            so_far_2 += tf.stack([tf.size(serialized), tf.reduce_sum(shapes_X2[:, 0])])
            is_end = tf.equal(tf.size(serialized), 0)
            as_counted = tf.where(is_end, tf.equal(so_far_2, counts_2), so_far_2 <= counts_2)
            have_words = shapes_X2[:, 1] > 1
            tf.debugging.Assert(tf.reduce_all(as_counted) & tf.reduce_all(have_words), [MISCOUNT])
            return so_far_2, some

        counted = with_shapes.concatenate(nothing).scan(tf.zeros([2], tf.int32), count).unbatch()
        windows = counted.batch(WINDOW_BATCHES * size).enumerate()
        return windows.flat_map(by_length).concatenate(nothing.repeat(padding))

    def by_length(number: tf.Tensor, window: tuple[tf.Tensor, tf.Tensor]) -> tf.data.Dataset:
        serialized, shapes = window
        places = tf.argsort(shapes[:, 1], stable=True)
        batches = -(-tf.size(places) // size)
        # All readers have the same random order, so the parts of a batch have similar lengths.
        drawn = tf.random.stateless_uniform([batches], tf.stack([plan.seed, number]))

        def batch(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = places[i * size : (i + 1) * size]
            return tf.gather(serialized, own), tf.gather(shapes, own)

        return tf.data.Dataset.from_tensor_slices(tf.argsort(drawn)).map(batch)

    counts = np.array(
        [[sum(s.images for s in own), sum(s.captions for s in own)] for own in shards_by_segment],
        np.int32,
    )
    padding = [segment.batches for segment in plan.segments] - -(-counts[:, 0] // size)
    segments = (np.array([0, *ends[:-1]]), ends, padding.astype(np.int64), counts)
    of_segments = tf.data.Dataset.from_tensor_slices(tuple(x[start:] for x in segments))
    return of_segments.flat_map(of_segment).concatenate(nothing)


@tf.autograph.experimental.do_not_convert
def evaluation_dataset(
    dataset: Dataset, split: str, batch_size: int, images: int = -1
) -> tf.data.Dataset:
    """The first `images` images of a split in file order; -1 means all.

    Returns:
      Batches of image_id string [batch_size] ("" is padding), image_features, and caption_ids
      int32 [batch_size, captions, T], padded to the size the batch needs, at least 1 and 2.
    """

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = _parse(dataset.manifest, serialized)
        missing = batch_size - tf.shape(batch["image_id"])[0]
        lacking_2 = tf.maximum([1, 2] - tf.shape(batch["caption_ids"])[1:], 0)
        padding = tf.stack([tf.zeros([3], tf.int32), tf.concat([[0], lacking_2], 0)], axis=1)
        batch["caption_ids"] = tf.pad(batch["caption_ids"], padding)
        return {
            name: tf.ensure_shape(
                tf.pad(x, [[0, missing]] + [[0, 0]] * (x.shape.rank - 1)),
                [batch_size, *x.shape[1:]],
            )
            for name, x in batch.items()
        }

    records = dataset.records(split, images)
    return without_autotune(records.batch(batch_size).map(parse, PARSE_AT_ONCE).prefetch(2))


def _parse(manifest: Manifest, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    batch = parse_batch(manifest.features(), serialized)
    return {"image_features" if name == "image" else name: x for name, x in batch.items()}
