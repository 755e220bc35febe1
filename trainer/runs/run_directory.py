"""What lies in a run: its configuration, and how to load the model that it trained.

RUN/config.json        flags, model sizes, fingerprints of the dataset
RUN/checkpoints/       to continue from
RUN/best/              the weights that validation has chosen
RUN/metrics.jsonl, RUN/tensorboard/, RUN/plots/
"""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY, complete_or_absent, write_text
from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.disk_failures import writing_to
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.owner_lock import OWNER_FILE
from tfrecords_schema.same_settings import check_same_settings, name_differences
from trainer.config import TrainConfig
from trainer.models.captioner import Captioner
from trainer.models.make_model import make_model
from trainer.models.with_encoder import WithEncoder
from trainer.runs.checkpoints import (
    DamagedCheckpointError,
    complete_steps,
    read_variables,
    variables_checkpoint,
)
from trainer.runs.run_config import CONFIG_FILE, comparable, config_fields, read_config, read_fields

CHECKPOINTS_DIRECTORY = "checkpoints"
BEST_DIRECTORY = "best"
_WEIGHTS = "weights"  # within it
# of the pipeline; what makes an image's features, a file standing for itself by its SHA-256
ENCODER_SETTINGS = (
    "encoder", "encoder_weights", "encoder_seed", "encoder_layer", "image_size", "resize"
)  # fmt: skip
# without another training, but for `epochs`: see Run
MAY_CHANGE = {"data", "run", "strategy", "patience", "epochs"}


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run's best model and what it needs."""

    config: TrainConfig
    dataset: Dataset
    model: Captioner


def is_begun(run: str) -> bool:
    """Whether a run has weights that the next start goes on with."""
    has_best = tf.io.gfile.exists(os.path.join(run, BEST_DIRECTORY))
    return has_best or bool(complete_steps(os.path.join(run, CHECKPOINTS_DIRECTORY)))


def check_run(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Checks that a run is new, or was begun with this configuration.

    Returns:
      The configuration that it was begun with; empty where there is none, or nothing was trained
      with it: it is then replaced.

    Raises:
      InputError: the run was begun with other flags or on another dataset; names what differs.
    """
    path = os.path.join(config.run, CONFIG_FILE)
    before: dict[str, Any] = {}
    if not tf.io.gfile.exists(path):
        if tf.io.gfile.exists(config.run) and not tf.io.gfile.isdir(config.run):
            raise InputError(f"--run: {config.run} is a file, it must be a directory")
        names = tf.io.gfile.listdir(config.run) if tf.io.gfile.exists(config.run) else []
        names = [n for n in names if TEMPORARY not in n and not n.startswith(OWNER_FILE)]
        if names and not is_begun(config.run):  # whose file was damaged and is gone
            raise InputError(
                f"--run: {config.run} is not empty and holds no run: give a new or empty directory"
            )
    elif is_begun(config.run):
        before = comparable(read_fields(config.run), config.run)
        now = comparable(config_fields(config, dataset), config.run)
        check_same_settings("run", config.run, before, now, MAY_CHANGE)
    return before


def claim_run(config: TrainConfig, dataset: Dataset) -> int:
    """Writes the configuration into a run that `check_run` lets through.

    Returns:
      What `--epochs` was until now.

    Raises:
      InputError: see `check_run`, or the run cannot be written to.
    """
    path = os.path.join(config.run, CONFIG_FILE)
    before = check_run(config, dataset)
    text = json.dumps(config_fields(config, dataset), indent=2) + "\n"
    with writing_to("run", config.run):
        if not before and tf.io.gfile.exists(path):
            with tf.io.gfile.GFile(path, "rb") as file:  # which may be damaged
                has_changed = file.read() != text.encode()
            if has_changed:
                print(f"{config.run} has no checkpoint and is begun anew with other flags")
        if not tf.io.gfile.exists(path) and is_begun(config.run):
            print(
                f"{path} is gone and is written anew from these flags: they must be those that "
                "the run was begun with"
            )
        write_text(path, text)
    return before.get("epochs", config.epochs)


def load_run(run: str, data: str = "", flag: str = "run") -> TrainedRun:
    """Loads the best model of a run.

    Args:
      run: its directory.
      data: the dataset, where it has moved since training.
      flag: that named the run.

    Raises:
      InputError: no trained run is there, it is damaged, or the dataset is not the one it was
        trained on.
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
    weights = os.path.join(best, _WEIGHTS)
    if not tf.io.gfile.exists(f"{weights}.index") and not tf.io.gfile.isdir(best):
        raise InputError(f"--{flag}: {run} has no best weights yet: train it for an epoch first")
    model = make_model(config, dataset)
    try:
        read_variables(variables_checkpoint(model=model.weights), weights)
    except DamagedCheckpointError as error:
        raise InputError(
            f"--{flag}: {error}. Copy it anew, or remove {best} and give the run's train command "
            "again: the weights of its last checkpoint then stand in for the best"
        ) from error
    return TrainedRun(config, dataset, model)


def start_from_run(model: Captioner, config: TrainConfig, dataset: Dataset) -> None:
    """Gives `model` the best weights of `config.initial_run`.

    A run on features is also a start for a model of images that has the CNN which made them: its
    weights are then those of the captioner.

    Raises:
      InputError: that run is not there, is of another dataset, or of a model of other weights.
    """
    first, fingerprints = read_config(config.initial_run, "initial_run")
    if isinstance(model, WithEncoder) and fingerprints != dataset.fingerprints():
        trained = load_run(config.initial_run, flag="initial_run")
        model = model.captioner
        _check_same_encoder(config, dataset.manifest, trained)
    else:
        trained = load_run(config.initial_run, config.data, "initial_run")
    ours, theirs = ([(w.path, tuple(w.shape)) for w in m.weights] for m in (model, trained.model))
    if ours != theirs:
        raise InputError(
            f"--initial_run: {config.initial_run} has a model of other weights; it was trained "
            f"with --model={first.model} and {first.model_config}"
        )
    for weight, value in zip(model.weights, trained.model.weights, strict=True):
        weight.assign(value)


def _check_same_encoder(config: TrainConfig, images: Manifest, trained: TrainedRun) -> None:
    """That the features of a run are those that the CNN of a dataset of images makes."""
    settings = []
    for manifest in (trained.dataset.manifest, images):
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
    """Makes `model` the best of the run."""
    with complete_or_absent(os.path.join(run, BEST_DIRECTORY)) as temporary:
        variables_checkpoint(model=model.weights).write(os.path.join(temporary, _WEIGHTS))


def replace_missing_best(run: str, model: Captioner) -> None:
    """Makes `model` the best of a run whose best weights were damaged and are gone."""
    path = os.path.join(run, BEST_DIRECTORY)
    if not tf.io.gfile.isdir(path):
        write_best(run, model)
        print(f"{path} is gone: the weights of the last checkpoint stand in for the best")
