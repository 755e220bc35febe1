"""Checks the inputs of a training before anything is written."""

import tensorflow as tf

from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from trainer.config import OF_IMAGES, TrainConfig
from trainer.runs.run_config import read_config
from trainer.runs.run_directory import check_run, is_begun


def check_inputs(config: TrainConfig) -> Dataset:
    """Checks the dataset and the run directory of a configuration.

    Returns:
      The dataset.

    Raises:
      InputError: the dataset or the run directory cannot be used.
    """
    dataset = open_dataset(config.data)
    dataset.manifest.feature_shape()  # raises an error if the dataset has no features
    for name in OF_IMAGES if not dataset.manifest.has_images() else ():
        if (value := getattr(config, name)) != getattr(TrainConfig, name):
            raise InputError(
                f"--{name}={value} is for a dataset of images, written with --features=image; "
                f"{config.data} has features"
            )
    for split, purpose in (("train", "to learn from"), ("validation", "to choose the model by")):
        if not dataset.images(split):
            raise InputError(f"--data: {config.data} has no {split} split {purpose}")
    check_run(config, dataset)
    if not is_begun(config.run):
        if config.initial_run:
            read_config(config.initial_run, "initial_run")
        if config.word_vectors and not tf.io.gfile.exists(config.word_vectors):
            raise InputError(f"--word_vectors: {config.word_vectors} does not exist")
    return dataset
