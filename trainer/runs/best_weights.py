"""The best weights by validation: writes them, reads them, and starts other runs from them."""

import dataclasses
import os

import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent
from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.messages import logger
from tfrecords_schema.same_settings import name_differences
from trainer.config import TrainConfig
from trainer.models.captioner import Captioner
from trainer.models.make_model import make_model
from trainer.models.with_encoder import WithEncoder
from trainer.runs.checkpoints import DamagedCheckpointError, read_variables, variables_checkpoint
from trainer.runs.run_config import read_config

BEST_DIRECTORY = "best"
_WEIGHTS = "weights"  # within BEST_DIRECTORY
# Pipeline settings that decide an image's features; a file is compared by its SHA-256.
ENCODER_SETTINGS = (
    "encoder", "encoder_weights", "encoder_seed", "encoder_layer", "image_size", "resize"
)  # fmt: skip


def open_run(run: str, data: str = "", flag: str = "run") -> tuple[TrainConfig, Dataset]:
    """Reads the configuration of a run that has best weights, and opens its dataset.

    Args:
      run: the directory of the run.
      data: the dataset, if it has moved since training.
      flag: the flag that named the run.

    Raises:
      InputError: there is no trained run, or the dataset is not the one it was trained on.
    """
    config, fingerprints = read_config(run, flag)
    config = dataclasses.replace(config, run=run, data=data or config.data)
    try:
        dataset = open_dataset(config.data, "data" if flag == "run" else flag)
    except InputError as error:
        if data or tf.io.gfile.exists(config.data):
            raise
        where = "give --data with where it is now" if flag == "run" else "it must be there"
        raise InputError(f"{error}. {run} was trained on it: {where}") from error
    for name, value in dataset.fingerprints().items():
        if value != fingerprints.get(name):
            raise InputError(
                f"--data: {config.data} is not what {run} was trained on: its {name} is {value}, "
                f"the run's is {fingerprints.get(name)}"
            )
    best = os.path.join(run, BEST_DIRECTORY)
    weights = os.path.join(best, f"{_WEIGHTS}.index")
    if not tf.io.gfile.exists(weights) and not tf.io.gfile.isdir(best):
        raise InputError(f"--{flag}: {run} has no best weights yet: train it for an epoch first")
    return config, dataset


def load_best(config: TrainConfig, dataset: Dataset, flag: str = "run") -> Captioner:
    """Makes the model of a run that `open_run` has opened, and reads its best weights.

    Raises:
      InputError: the weights are damaged.
    """
    best = os.path.join(config.run, BEST_DIRECTORY)
    model = make_model(config, dataset)
    try:
        read_variables(variables_checkpoint(model=model.weights), os.path.join(best, _WEIGHTS))
    except DamagedCheckpointError as error:
        raise InputError(
            f"--{flag}: {error}. Copy it anew, or remove {best} and give the run's train command "
            "again: the weights of its last checkpoint then stand in for the best"
        ) from error
    return model


def start_from_run(model: Captioner, config: TrainConfig, dataset: Dataset) -> None:
    """Gives `model` the best weights of `config.initial_run`.

    A model of images can also start from a run on the features of its own CNN; the captioner then
    gets that run's weights.

    Raises:
      InputError: that run is missing, or has another dataset or a model of other weights.
    """
    first, fingerprints = read_config(config.initial_run, "initial_run")
    if isinstance(model, WithEncoder) and fingerprints != dataset.fingerprints():
        first, its_dataset = open_run(config.initial_run, flag="initial_run")
        model = model.captioner
        _check_same_encoder(config, dataset.manifest, its_dataset.manifest)
    else:
        first, its_dataset = open_run(config.initial_run, config.data, "initial_run")
    trained = load_best(first, its_dataset, "initial_run")
    ours, theirs = ([(w.path, tuple(w.shape)) for w in m.weights] for m in (model, trained))
    if ours != theirs:
        raise InputError(
            f"--initial_run: {config.initial_run} has a model of other weights; it was trained "
            f"with --model={first.model} and {first.model_config}"
        )
    for weight, value in zip(model.weights, trained.weights, strict=True):
        weight.assign(value)


def _check_same_encoder(config: TrainConfig, images: Manifest, features: Manifest) -> None:
    """Checks that the CNN of a dataset of images makes the features of a dataset of features."""
    settings = []
    for manifest in (features, images):
        by_name = manifest.config
        settings.append(
            {"vocabulary": manifest.vocabulary_sha256}
            | {name: by_name.get(f"{name}_sha256", by_name[name]) for name in ENCODER_SETTINGS}
        )
    if differences := name_differences(*settings):
        raise InputError(
            f"--initial_run: {config.initial_run} was trained on another dataset than --data: "
            f"{'; '.join(differences)}"
        )


def write_best(run: str, model: Captioner) -> None:
    """Saves the weights of `model` as the best of the run."""
    with complete_or_absent(os.path.join(run, BEST_DIRECTORY)) as temporary:
        variables_checkpoint(model=model.weights).write(os.path.join(temporary, _WEIGHTS))


def replace_missing_best(run: str, model: Captioner) -> None:
    """Saves `model` as the best of a run whose damaged best weights were removed."""
    path = os.path.join(run, BEST_DIRECTORY)
    if not tf.io.gfile.isdir(path):
        write_best(run, model)
        logger.info(f"{path} is gone: the weights of the last checkpoint stand in for the best")
