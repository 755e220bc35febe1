"""The files of a run, and the checks before a process writes into it.

RUN/config.json        flags, model sizes, fingerprints of the dataset
RUN/checkpoints/       state to resume from
RUN/best/              the best weights by validation
RUN/metrics.jsonl, RUN/tensorboard/, RUN/plots/
"""

import json
import os
from typing import Any

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY, write_text
from tfrecords_schema.dataset import Dataset
from tfrecords_schema.disk_failures import writing_to
from tfrecords_schema.errors import InputError
from tfrecords_schema.messages import logger
from tfrecords_schema.owner_lock import OWNER_FILE
from tfrecords_schema.same_settings import check_same_settings
from trainer.config import TrainConfig
from trainer.runs.best_weights import BEST_DIRECTORY
from trainer.runs.checkpoints import complete_steps
from trainer.runs.run_config import CONFIG_FILE, comparable, config_fields, read_fields

CHECKPOINTS_DIRECTORY = "checkpoints"
# fields that may change when a run is resumed; only `epochs` changes the training (see Run)
MAY_CHANGE = {"data", "run", "strategy", "patience", "epochs"}


def is_begun(run: str) -> bool:
    """Whether a run has weights that the next start resumes from."""
    has_best = tf.io.gfile.exists(os.path.join(run, BEST_DIRECTORY))
    return has_best or bool(complete_steps(os.path.join(run, CHECKPOINTS_DIRECTORY)))


def check_run(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Checks that a run is new, or was begun with this configuration.

    Returns:
      The configuration that it was begun with. It is empty if there is none, or if nothing was
      trained with it, and is then replaced.

    Raises:
      InputError: the run was begun with other flags or on another dataset; it names the difference.
    """
    path = os.path.join(config.run, CONFIG_FILE)
    before: dict[str, Any] = {}
    if not tf.io.gfile.exists(path):
        if tf.io.gfile.exists(config.run) and not tf.io.gfile.isdir(config.run):
            raise InputError(f"--run: {config.run} is a file, it must be a directory")
        names = tf.io.gfile.listdir(config.run) if tf.io.gfile.exists(config.run) else []
        names = [n for n in names if TEMPORARY not in n and not n.startswith(OWNER_FILE)]
        if names and not is_begun(config.run):  # a begun run may have lost a damaged CONFIG_FILE
            raise InputError(
                f"--run: {config.run} is not empty and holds no run: give a new or empty directory"
            )
    elif is_begun(config.run):
        before = comparable(read_fields(config.run), config.run)
        now = comparable(config_fields(config, dataset), config.run)
        check_same_settings("run", config.run, before, now, MAY_CHANGE)
    return before


def claim_run(config: TrainConfig, dataset: Dataset) -> int:
    """Writes the configuration into a run that passes `check_run`.

    Returns:
      The previous value of `--epochs`.

    Raises:
      InputError: see `check_run`; or the run cannot be written to.
    """
    path = os.path.join(config.run, CONFIG_FILE)
    before = check_run(config, dataset)
    text = json.dumps(config_fields(config, dataset), indent=2) + "\n"
    with writing_to("run", config.run):
        if not before and tf.io.gfile.exists(path):
            with tf.io.gfile.GFile(path, "rb") as file:  # in binary, since it may be damaged
                has_changed = file.read() != text.encode()
            if has_changed:
                logger.info(f"{config.run} has no checkpoint and is begun anew with other flags")
        if not tf.io.gfile.exists(path) and is_begun(config.run):
            logger.info(
                f"{path} is gone and is written anew from these flags: they must be those that "
                "the run was begun with"
            )
        write_text(path, text)
    return before.get("epochs", config.epochs)
