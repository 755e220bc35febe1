"""Serializes records to bytes.

The bytes equal those that TFDS writes for the same feature table (a test compares them). TFDS is
not used, since it takes half a millisecond a record, as long as decoding a small image.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfrecords_schema.features import CAPTION_IDS_FLAT, CAPTION_IDS_LENGTHS, Record


def serialize_record(features: tfds.features.FeaturesDict, record: Record) -> bytes:
    """The record as a serialized tf.train.Example.

    Raises:
      ValueError: a value does not fit its feature; the message names the feature.
    """
    if len(record.captions) != len(record.caption_ids):
        raise ValueError(
            f"{record.image_id} has {len(record.captions)} captions "
            f"but caption_ids for {len(record.caption_ids)}"
        )
    fields: dict[str, Any] = {
        "image_id": [record.image_id],
        "image_uri": [record.image_uri],
        "captions": record.captions,
        CAPTION_IDS_FLAT: [i for ids in record.caption_ids for i in ids],
        CAPTION_IDS_LENGTHS: [len(ids) for ids in record.caption_ids],
    }
    for name in ("image_features", "image"):
        if (value := _tensor_bytes(features, record, name)) is not None:
            fields[name] = [value]
    try:
        feature = {}
        for name, values in fields.items():
            feature[name] = _integers(values) if name.startswith("caption_ids") else _bytes(values)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{name} of {record.image_id}: {error}") from error
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def _tensor_bytes(features: tfds.features.FeaturesDict, record: Record, name: str) -> bytes | None:
    """The bytes of `image_features` or `image`; None if the table does not have that feature."""
    value = getattr(record, name)
    if isinstance(value, bytes):
        found: Any = "a file"
    else:
        found = None if value is None else f"{value.shape} {value.dtype}"
    expected = None
    if name in features:
        table = features[name]
        expected = "a file" if name == "image" else f"{table.shape} {np.dtype(table.np_dtype)}"
    if found != expected:
        raise ValueError(f"{name} of {record.image_id} is {found}, the dataset's are {expected}")
    return value.tobytes() if isinstance(value, np.ndarray) else value


def _bytes(values: list[Any]) -> tf.train.Feature:
    encoded = [text if isinstance(text, bytes) else text.encode() for text in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))


def _integers(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
