"""Which split an image belongs to, where the source does not say."""

from collections.abc import Sequence

from tfrecords_schema.shards import SPLITS, stable_hash


def split_by_hash(image_id: str, fractions: Sequence[float]) -> str:
    """The split of an image by a stable hash of its id.

    All captions of an image fall in one split, and adding images to a data set moves none of
    those it had.

    Args:
      image_id: of the image.
      fractions: of train, validation and test; they add up to 1.
    """
    point = stable_hash(image_id, "split") / 2**64
    for split, fraction in zip(SPLITS, fractions, strict=True):
        if point < fraction:
            return split
        point -= fraction
    return SPLITS[0]  # rounding left nothing for the last
