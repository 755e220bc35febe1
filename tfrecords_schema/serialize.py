"""Record to bytes."""

import tensorflow_datasets as tfds

from tfrecords_schema.features import Record


def serialize_record(features: tfds.features.FeaturesDict, record: Record) -> bytes:
    """A serialized tf.train.Example.

    Raises:
      ValueError: a value does not fit its feature; the message names the feature.
    """
    expected = features["image_features"].shape if "image_features" in features else None
    shape = None if record.image_features is None else record.image_features.shape
    if shape != expected:
        raise ValueError(
            f"image_features of {record.image_id} have shape {shape}, the dataset's are {expected}"
        )
    if len(record.captions) != len(record.caption_ids):
        raise ValueError(
            f"{record.image_id} has {len(record.captions)} captions "
            f"but caption_ids for {len(record.caption_ids)}"
        )
    fields = record._asdict()
    if expected is None:
        del fields["image_features"]
    return features.serialize_example(fields)
