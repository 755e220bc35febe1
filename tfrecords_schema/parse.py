"""Bytes to tensors."""

import tensorflow as tf
import tensorflow_datasets as tfds


def parse_record(
    features: tfds.features.FeaturesDict, serialized: tf.Tensor
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """The tensors of one record; the inverse of `serialize_record`.

    Args:
      features: the table that the record was written by.
      serialized: scalar string.

    Returns:
      image_id and image_uri, scalar strings; image_features of the table's shape and dtype, or
      image uint8 [side, side, 3], if any;
      captions, string [captions]; caption_ids, ragged int32 [captions, (words + 2)].
    """
    return features.deserialize_example(serialized)
