"""Parses records into tensors, one record or a batch.

A batch is several times as fast: for a single record much of the time is the call of the parsing
graph, and its features are copied again when records are batched.
"""

import tensorflow as tf
import tensorflow_datasets as tfds

from tfrecords_schema.features import CAPTION_IDS_FLAT, CAPTION_IDS_LENGTHS


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


def parse_batch(
    features: tfds.features.FeaturesDict, serialized_B: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The tensors of many records that a trainer needs.

    Args:
      features: the table that the records were written by.
      serialized_B: string [B].

    Returns:
      image_id, string [B]; caption_ids, int32 [B, captions, words + 2], 0 after each caption; and
      image_features [B, ...] of the table's shape and dtype, or image uint8 [B, side, side, 3].
    """
    [stored] = {"image_features", "image"} & features.keys()
    text = tf.io.FixedLenFeature([], tf.string)
    lengths = tf.io.RaggedFeature.RowLengths(CAPTION_IDS_LENGTHS)
    parsed = tf.io.parse_example(
        serialized_B,
        {
            "image_id": text,
            stored: text,
            "caption_ids": tf.io.RaggedFeature(tf.int64, CAPTION_IDS_FLAT, [lengths]),
        },
    )
    feature = features[stored]
    if stored == "image":
        content = tf.map_fn(
            feature.decode_example,
            parsed[stored],
            fn_output_signature=tf.TensorSpec(feature.shape, tf.uint8),
        )
    else:
        content = tf.io.decode_raw(parsed[stored], feature.tf_dtype)
        content = tf.reshape(content, [-1, *feature.shape])
    return {
        "image_id": parsed["image_id"],
        stored: content,
        "caption_ids": tf.cast(parsed["caption_ids"].to_tensor(), tf.int32),
    }


def caption_shapes(serialized_B: tf.Tensor) -> tf.Tensor:
    """int32 [B, 2]: for each record the number of captions, and the tokens of the longest one."""
    stored = {CAPTION_IDS_LENGTHS: tf.io.RaggedFeature(tf.int64)}
    lengths = tf.io.parse_example(serialized_B, stored)[CAPTION_IDS_LENGTHS]
    longest_B = tf.maximum(tf.reduce_max(lengths, axis=1), 0)  # 0 for a record without captions
    captions_B = tf.cast(lengths.row_lengths(), tf.int64)
    return tf.cast(tf.stack([captions_B, longest_B], axis=1), tf.int32)
