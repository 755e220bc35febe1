"""The record: one image with its features and all its captions.

`record_features` is the one table of features: `serialize` writes by it, `parse` reads by it, and
it is saved as `features.json` so that TFDS can read the dataset without beamcap.

An image is stored once, with all its captions. Its features are by far the largest part (125 KB
for a 7x7x1280 float16 grid), and the trainer encodes each image only once. Tensors are stored as
raw bytes, which in float16 take a third of the size of TFRecord's float lists.
"""

from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tfrecords_schema.feature_dtypes import FEATURE_DTYPES, IMAGE_DTYPE

# TFDS's names, in the file, for a sequence of sequences: all ids in one list, and the lengths of
# the captions. A test compares them with what TFDS writes.
CAPTION_IDS_FLAT = "caption_ids/ragged_flat_values"
CAPTION_IDS_LENGTHS = "caption_ids/ragged_row_lengths_0"


class Record(NamedTuple):
    """One image with its captions. The field names are the feature names in the file."""

    image_id: str  # unique in the dataset
    image_uri: str  # path or URI that the image was read from
    image_features: np.ndarray | None  # grid [height, width, depth] or pooled [depth]
    captions: list[str]  # as in the source, with whitespace collapsed
    caption_ids: list[list[int]]  # <start> word ... word <end>, one list a caption
    image: bytes | None = None  # a JPEG file instead of features


def record_features(
    shape: tuple[int, ...] | None, dtype: str = "float16"
) -> tfds.features.FeaturesDict:
    """The feature table for image features of `shape`.

    Args:
      shape: the shape of one image's features: (height, width, depth) for a grid, (depth,) for
        pooled, (side, side, 3) for the image itself, None for a dataset of text alone.
      dtype: the dtype of the stored features, one of FEATURE_DTYPES, or IMAGE_DTYPE for images.
    """
    if dtype not in (*FEATURE_DTYPES, IMAGE_DTYPE):
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(FEATURE_DTYPES)}")
    image_features = {}
    if shape is not None and dtype == IMAGE_DTYPE:
        image_features["image"] = tfds.features.Image(
            shape=shape, encoding_format="jpeg", doc="The image, as resized for the encoder."
        )
    elif shape is not None:
        image_features["image_features"] = tfds.features.Tensor(
            shape=shape,
            dtype=np.dtype(dtype),
            encoding="bytes",
            doc="What image_encoder/ makes of the image: [height, width, depth] or [depth].",
        )
    return tfds.features.FeaturesDict(
        {
            "image_id": tfds.features.Text(doc="Unique name of the image."),
            "image_uri": tfds.features.Text(doc="Where the image was read from."),
            **image_features,
            "captions": tfds.features.Sequence(
                tfds.features.Text(), doc="The image's captions as the source has them."
            ),
            "caption_ids": tfds.features.Sequence(
                tfds.features.Sequence(np.int32),
                doc="The same captions as ids of vocabulary.txt, from <start> to <end>.",
            ),
        }
    )
