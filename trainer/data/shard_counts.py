"""Whether shards hold what their manifest counts, and what to say where they do not.

Plans of epochs, progress and scores all rely on these counts. Nobody reads a dataset just to count
it: readers count what they read anyway (see `trainer.data.batches`), and only a dataset that is
wrong is read once more, to find the shard.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Manifest, write_anew
from tfrecords_schema.parse import caption_shapes
from trainer.data.batches import MISCOUNT, read_references, shard_paths, without_autotune

_BATCH = 64  # records


@contextmanager
def miscounts_named(directory: str, manifest: Manifest) -> Iterator[None]:
    """Turns the error of `train_dataset` about counts into one line that names the shard.

    Raises:
      InputError: in place of that error.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if MISCOUNT not in error.message:
            raise
        raise find_miscount(directory, manifest, "train") from error


def read_counted_references(
    directory: str, manifest: Manifest, split: str, images: int = -1
) -> dict[str, list[str]]:
    """What `read_references` reads, once it is known to be what the manifest counts.

    Raises:
      InputError: the shards of the split hold more images than the manifest counts, or fewer, or
        an image has no caption.
    """
    references = read_references(directory, manifest, split, images)
    counted = manifest.images(split)
    expected = counted if images < 0 else min(images, counted)
    if len(references) != expected or not all(references.values()):
        raise find_miscount(directory, manifest, split)
    return references


def find_miscount(directory: str, manifest: Manifest, split: str) -> InputError:
    """Names the first shard of `split` that is not as the manifest says."""
    verify = f"`python -m pipeline.verify {directory}` says all that is wrong"
    shards = [shard for shard in manifest.splits[split] if shard.images]
    for path, shard in zip(shard_paths(directory, manifest, split), shards, strict=True):
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
    return InputError(f"--data: the {split} split of {directory} holds an image twice; {verify}")
