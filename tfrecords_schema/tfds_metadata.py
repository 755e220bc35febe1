"""Writes the metadata files with which TFDS reads a dataset without beamcap."""

import tensorflow_datasets as tfds

from tfrecords_schema.manifest import Manifest
from tfrecords_schema.shards import DATASET_NAME


def write_tfds_metadata(directory: str, manifest: Manifest) -> None:
    """Writes `features.json` and `dataset_info.json`, with which TFDS reads the dataset."""
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=DATASET_NAME, filetype_suffix="tfrecord"
    )
    features = manifest.encoder.name if manifest.encoder else "no"
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.images for shard in shards],
            num_bytes=sum(shard.bytes for shard in shards),
            filename_template=template.replace(split=split),
        )
        for split, shards in manifest.splits.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=manifest.features(),
        split_infos=infos,
        filename_template=template,
        description=f"Captioned images with {features} features, by beamcap.",
        check_data=False,
    )
