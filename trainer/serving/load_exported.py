"""Loads an exported version."""

import os
from typing import Any

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.exported_model import (
    CAPTION_SIGNATURE,
    CAPTIONS,
    ERROR,
    IMAGE_BYTES,
    LOG_PROBS,
    METADATA_FILE,
    SAVED_MODEL_FILE,
)
from tfrecords_schema.json_fields import JsonError, read_json_object

FILES = (SAVED_MODEL_FILE, "variables/variables.index", "variables/variables.data-00000-of-00001")
EXPORT_AGAIN = "export the run again"


def find_version(model: str) -> str:
    """The directory of a version: `model` itself, or the latest version in it.

    Raises:
      InputError: there is neither.
    """
    if tf.io.gfile.exists(os.path.join(model, SAVED_MODEL_FILE)):
        return model
    if not tf.io.gfile.isdir(model):
        problem = "is a file" if tf.io.gfile.exists(model) else "does not exist"
        raise InputError(f"--model: {model} {problem}; give an exported version, such as EXPORT/1")
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(model)]
    for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        version = os.path.join(model, str(number))
        if tf.io.gfile.exists(os.path.join(version, SAVED_MODEL_FILE)):
            return version
    raise InputError(
        f"--model: {model} holds no exported model, no {SAVED_MODEL_FILE}; give a version, such as "
        "EXPORT/1, or the directory of versions"
    )


def load_exported(version: str) -> tf.types.experimental.ConcreteFunction:
    """The captioning signature of an exported version; it keeps the loaded model alive.

    Raises:
      InputError: files are missing or damaged, or an older version wrote the export.
    """
    for name in FILES:
        path = os.path.join(version, name)
        if not tf.io.gfile.exists(path) or not tf.io.gfile.stat(path).length:
            raise InputError(f"--model: {path} is missing or empty: {EXPORT_AGAIN}")
    try:
        signatures = dict(tf.saved_model.load(version).signatures)
    except Exception as error:  # damaged protocol buffers raise any kind of error
        reason = one_line(error).replace(os.path.join(version, ""), "")
        raise InputError(f"--model: {version} is damaged: {reason}; {EXPORT_AGAIN}") from error
    serve = signatures.get(CAPTION_SIGNATURE)
    given = [] if serve is None else list(serve.structured_input_signature[1])
    if serve is None or given != [IMAGE_BYTES]:
        raise InputError(
            f"--model: {version} is a SavedModel, but none that `beamcap export` has written"
        )
    if missing := sorted({CAPTIONS, LOG_PROBS, ERROR} - serve.structured_outputs.keys()):
        raise InputError(
            f"--model: {version} was exported by an older version, it has no output "
            f"`{'`, `'.join(missing)}`: {EXPORT_AGAIN}"
        )
    return serve


def read_metadata(version: str) -> dict[str, Any]:
    """The metadata of an exported version.

    Returns:
      `search` (the settings of beam search), `formats` (of images), `run`, the fingerprints of the
      dataset, and the versions of TensorFlow.

    Raises:
      InputError: the file is missing or damaged.
    """
    path = os.path.join(version, METADATA_FILE)
    if not tf.io.gfile.exists(path):
        raise InputError(f"--model: {path} is missing: {EXPORT_AGAIN}")
    try:
        return read_json_object(path)
    except JsonError as error:
        raise InputError(f"--model: {path} is damaged: {error}; {EXPORT_AGAIN}") from error
