"""Record to bytes."""

import tensorflow_datasets as tfds

from tfrecords_schema.features import Record


def serialize_record(features: tfds.features.FeaturesDict, record: Record) -> bytes:
    """A serialized tf.train.Example.

    Raises:
      ValueError: a value does not fit its feature; the message names the feature.
    """
    expected = features["image_features"]
    if record.image_features.shape != expected.shape:
        raise ValueError(
            f"image_features of {record.image_id} have shape {record.image_features.shape}, "
            f"the dataset's are {expected.shape}"
        )
    if len(record.captions) != len(record.caption_ids):
        raise ValueError(
            f"{record.image_id} has {len(record.captions)} captions "
            f"but caption_ids for {len(record.caption_ids)}"
        )
    return features.serialize_example(record._asdict())
