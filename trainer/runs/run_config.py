"""A run's `config.json`: its flags, its model's sizes, its dataset's fingerprints.

A path relative to the working directory is stored relative to the run, so that the run finds its
dataset from any working directory, and also if both were moved together.
"""

import dataclasses
import importlib.metadata
import os
from typing import Any

import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.json_fields import JsonError, make_instance, read_json_object
from tfrecords_schema.same_settings import flatten
from trainer.config import ModelConfig, TrainConfig

CONFIG_FILE = "config.json"
PATHS = ("data", "initial_run", "word_vectors")  # fields whose paths are relative to the run


def config_fields(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """The contents of CONFIG_FILE."""
    paths = {name: relative_to_run(getattr(config, name), config.run) for name in PATHS}
    return {
        **dataclasses.asdict(config),
        **paths,
        "dataset": dataset.fingerprints(),
        "versions": {name: importlib.metadata.version(name) for name in ("beamcap", "tensorflow")},
    }


def read_fields(run: str, flag: str = "run") -> dict[str, Any]:
    """The contents of a run's CONFIG_FILE, with paths relative to the working directory.

    Args:
      run: the directory of the run.
      flag: the flag that named it.

    Raises:
      InputError: the file is missing or damaged, or another version of beamcap wrote it.
    """
    path = os.path.join(run, CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        raise InputError(f"--{flag}: {run} has no {CONFIG_FILE}: it is no beamcap run")
    try:
        fields = read_json_object(path)
    except JsonError as error:
        raise InputError(
            f"--{flag}: {path} is damaged: {error}. Copy it anew, or remove it and give the run's "
            "train command with the very flags that it was begun with"
        ) from error
    versions = fields.get("versions")
    wrote = versions.get("beamcap") if isinstance(versions, dict) else None
    try:
        _check(fields)
    except (JsonError, InputError) as error:
        raise InputError(
            f"--{flag}: {path} is damaged or of another version: {error}. beamcap "
            f"{wrote or 'of unknown version'} wrote it, this is "
            f"{importlib.metadata.version('beamcap')}: use the version that wrote it, or train in "
            "a new --run"
        ) from error
    return fields | {name: resolve_in_run(fields[name], run) for name in PATHS}


def read_config(run: str, flag: str = "run") -> tuple[TrainConfig, dict[str, str]]:
    """The configuration of a run, and the fingerprints of the dataset it was trained on.

    Args:
      run: the directory of the run.
      flag: the flag that named it.

    Raises:
      InputError: see `read_fields`.
    """
    return _split(read_fields(run, flag))


def relative_to_run(path: str, run: str) -> str:
    """`path`, changed from relative to the working directory to relative to a run's directory."""
    if not path or "://" in path or os.path.isabs(path):
        return path
    if "://" in run:
        return os.path.abspath(path)
    return os.path.relpath(os.path.realpath(path), os.path.realpath(run))


def resolve_in_run(path: str, run: str) -> str:
    """The inverse of `relative_to_run`, as an absolute path."""
    if not path or "://" in path or os.path.isabs(path):
        return path
    return os.path.normpath(os.path.join(os.path.realpath(run), path))


def comparable(fields: dict[str, Any], run: str) -> dict[str, Any]:
    """The fields in a form for comparing two starts of one run: flat, with normalized paths."""
    fields = {name: value for name, value in fields.items() if name != "versions"}
    for name in PATHS:
        path = resolve_in_run(fields[name], run)
        fields[name] = path if not path or "://" in path else os.path.realpath(path)
    return flatten(fields)


def _split(fields: dict[str, Any]) -> tuple[TrainConfig, dict[str, str]]:
    fields = {name: value for name, value in fields.items() if name != "versions"}
    fingerprints = fields.pop("dataset")
    fields["model_config"] = make_instance(ModelConfig, fields["model_config"], "model_config")
    return make_instance(TrainConfig, fields), fingerprints


def _check(fields: dict[str, Any]) -> None:
    """Checks that this version has the same fields and can use their values."""
    for name in [field.name for field in dataclasses.fields(TrainConfig)] + ["dataset"]:
        if name not in fields:
            raise JsonError(f"field {name} is missing")
    for name in ("model_config", "dataset"):
        if not isinstance(fields[name], dict):
            raise JsonError(f"field {name} is {fields[name]!r:.40} and no JSON object")
    for name in [field.name for field in dataclasses.fields(ModelConfig)]:
        if name not in fields["model_config"]:
            raise JsonError(f"field model_config.{name} is missing")
    _split(fields)
