"""Makes the captioner of a configuration, with the CNN of a dataset of images."""

import os
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.keras_settings import set_up_keras
from tfrecords_schema.manifest import ENCODER_KERAS_FILE, write_anew
from trainer.config import TrainConfig
from trainer.models.attend import Attend
from trainer.models.attend_after import AttendAfter
from trainer.models.captioner import Captioner
from trainer.models.inject import Inject
from trainer.models.merge import Merge
from trainer.models.transformer import Transformer
from trainer.models.with_encoder import WithEncoder

MODELS: dict[str, Callable[..., Captioner]] = {
    "attend": Attend,
    "attend_after": AttendAfter,
    "merge": Merge,
    "inject": Inject,
    "transformer": Transformer,
}


def make_model(config: TrainConfig, dataset: Dataset) -> Captioner:
    """Makes the captioner of a run, with initial weights."""
    set_up_keras()
    manifest = dataset.manifest
    model, size = MODELS[config.model], manifest.vocabulary_size
    if not manifest.has_images():
        return model(config.model_config, size, manifest.feature_shape()[-1])
    encoder = read_encoder(dataset)
    return WithEncoder(encoder, model(config.model_config, size, encoder.output_shape[-1]))


def read_encoder(dataset: Dataset) -> keras.Model:
    """The dataset's CNN, from float32 [batch, side, side, 3] in [0, 255] to a grid of features.

    Raises:
      InputError: its file is missing or damaged.
    """
    path = dataset.encoder_keras_path
    if not tf.io.gfile.exists(path):
        raise InputError(
            f"--data: {path} is missing, a dataset of images is trained with its CNN. "
            f"{write_anew(ENCODER_KERAS_FILE)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, ENCODER_KERAS_FILE)  # Keras reads local files
        tf.io.gfile.copy(path, local)
        try:
            return keras.models.load_model(local, compile=False)
        except Exception as error:  # any error that Keras raises for a damaged file
            reason = one_line(error).replace(local, path)
            raise InputError(
                f"--data: {path} is damaged ({reason}). {write_anew(ENCODER_KERAS_FILE)}"
            ) from error
