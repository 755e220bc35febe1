"""The split of an image, if the source has no splits."""

from collections.abc import Sequence

from tfrecords_schema.shards import SPLITS, stable_hash


def split_by_hash(image_id: str, fractions: Sequence[float]) -> str:
    """The split of an image by a stable hash of its id.

    All captions of an image are in one split. Adding images to a data set does not move others.

    Args:
      image_id: the id of the image.
      fractions: the fractions of train, validation and test, whose sum is 1.
    """
    point = stable_hash(image_id, "split") / 2**64
    for split, fraction in zip(SPLITS, fractions, strict=True):
        if point < fraction:
            return split
        point -= fraction
    return SPLITS[0]  # the point is beyond the sum because of rounding
