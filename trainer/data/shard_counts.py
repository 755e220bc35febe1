"""Whether shards hold what their manifest counts, and what to say where they do not.

Plans of epochs, progress and scores all rely on these counts. Nobody reads a dataset just to count
it: readers count what they read anyway (see `trainer.data.batches`), and only a dataset that is
wrong is read once more, to find the shard.
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
      InputError: in place of that error.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if MISCOUNT not in error.message:
            raise
        raise find_miscount(dataset, "train") from error


def read_counted_references(dataset: Dataset, split: str, images: int = -1) -> dict[str, list[str]]:
    """The references of a split, once they are known to be what the manifest counts.

    Raises:
      InputError: the shards of the split hold more images than the manifest counts, or fewer, or
        an image has no caption.
    """
    references = dataset.references(split, images)
    counted = dataset.images(split)
    expected = counted if images < 0 else min(images, counted)
    if len(references) != expected or not all(references.values()):
        raise find_miscount(dataset, split)
    return references


def find_miscount(dataset: Dataset, split: str) -> InputError:
    """Names the first shard of `split` that is not as the manifest says."""
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
