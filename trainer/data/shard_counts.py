"""Checks the counts of the manifest against the shards, and reports differences.

The plans of epochs, progress and scores all rely on these counts. No pass over a dataset is made
just to count it: readers count the records that they read anyway (see `trainer.data.batches`). Only
a dataset with wrong counts is read once more, to find the shard.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.dataset import Dataset, without_autotune
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import write_anew
from tfrecords_schema.parse import caption_shapes
from trainer.data.batches import MISCOUNT

_BATCH = 64  # records


@contextmanager
def miscounts_named(dataset: Dataset) -> Iterator[None]:
    """Turns the error of `train_dataset` about counts into one line that names the shard.

    Raises:
      InputError: the counts are wrong; it replaces TensorFlow's error.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if MISCOUNT not in error.message:
            raise
        raise find_miscount(dataset, "train") from error


def read_counted_references(dataset: Dataset, split: str, images: int = -1) -> dict[str, list[str]]:
    """The references of a split, after their counts are compared with the manifest's.

    Raises:
      InputError: the shards of the split hold more or fewer images than the manifest counts, or
        an image has no caption.
    """
    references = dataset.references(split, images)
    counted = dataset.images(split)
    expected = counted if images < 0 else min(images, counted)
    if len(references) != expected or not all(references.values()):
        raise find_miscount(dataset, split)
    return references


def find_miscount(dataset: Dataset, split: str) -> InputError:
    """An error that names the first shard of `split` whose counts differ from the manifest's."""
    verify = f"`python -m pipeline.verify {dataset.directory}` says all that is wrong"
    shards = [shard for shard in dataset.manifest.splits[split] if shard.images]
    for path, shard in zip(dataset.shard_paths(split), shards, strict=True):
        records = tf.data.TFRecordDataset(path).batch(_BATCH)
        shapes_X2 = [caption_shapes(batch).numpy() for batch in without_autotune(records)]
        images = sum(map(len, shapes_X2))
        captions = sum(int(shapes[:, 0].sum()) for shapes in shapes_X2)
        if (images, captions) != (shard.images, shard.captions):
            return InputError(
                f"--data: shard {path} holds {images} images with {captions} captions, the "
                f"manifest says {shard.images} with {shard.captions}; {verify}. "
                f"{write_anew(shard.file)}"
            )
        empty = sum(int((shapes[:, 1] < 2).sum()) for shapes in shapes_X2)
        if empty:
            return InputError(
                f"--data: shard {path} holds {images} images, of which {empty} have no caption "
                f"with words; {verify}. {write_anew(shard.file)}"
            )
    return InputError(
        f"--data: the {split} split of {dataset.directory} holds an image twice; {verify}"
    )
