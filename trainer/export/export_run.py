"""The export: a SavedModel from image bytes to captions.

    EXPORT/<version>/
      saved_model.pb, variables/    the dataset's image encoder, decoder, beam search, vocabulary
      assets.extra/beamcap.json     fingerprints of dataset and encoder, and the search's settings

It needs nothing but TensorFlow to load, and TensorFlow Serving takes it as it lies. Signatures:

    serving_default   image_bytes string [batch] -> captions string [batch, beams], best first;
                      log_probs float32 [batch, beams]; error string [batch], "" or the reason why
                      the captions of a picture are "" and its log_probs 0
    encode            image_bytes string [batch] -> features float32 [batch, ...], as the pipeline's
                      (of a dataset of images: jpeg_bytes string [batch]); error likewise

Before it is published it has to caption pictures as the trainer does; see `export_check`.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.disk_failures import DISK_ERRORS, failure_line
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.image_formats import DEFAULT_FORMATS
from tfrecords_schema.manifest import ENCODER_DIRECTORY, write_anew
from trainer.data.damaged_shards import damaged_shards_named
from trainer.decoding.search_config import DEFAULT_SEARCH, SearchConfig
from trainer.export.caption_server import CaptionServer
from trainer.export.export_check import check_export
from trainer.runs.run_directory import load_run

METADATA_FILE = os.path.join("assets.extra", "beamcap.json")
# The oldest TensorFlow that loads and runs an export of the default formats. TensorFlow Serving's
# releases lag behind TensorFlow's.
OLDEST_TENSORFLOW = "2.18"


def export(
    run: str,
    output: str,
    search: SearchConfig = DEFAULT_SEARCH,
    formats: Sequence[str] = DEFAULT_FORMATS,
    data: str = "",
    check: bool = True,
) -> str:
    """Exports a run's best model as the next version under `output`.

    Args:
      run: directory of a trained run.
      output: directory of versions.
      search: how captions are searched for.
      formats: of FORMAT_NAMES, that the export reads.
      data: the dataset where it has moved; empty: where the run found it.
      check: whether it is tried before it is published.

    Returns:
      The directory of the new version.

    Raises:
      InputError: the run or its dataset is not there, or `output` cannot be written to.
      ExportError: the export does not do what the trainer does.
    """
    if tf.io.gfile.exists(output) and not tf.io.gfile.isdir(output):
        raise InputError(f"--output: {output} is a file, it must be a directory")
    trained = load_run(run, data)
    encoder = _load_encoder(trained.dataset.encoder_path)
    server = CaptionServer(encoder, trained.model, trained.dataset, formats, search)
    metadata = {
        **trained.dataset.fingerprints(),
        "run": run if "://" in run else os.path.abspath(run),
        "search": dataclasses.asdict(search),
        "formats": list(formats),
        "tensorflow": tf.__version__,
        "oldest_tensorflow": OLDEST_TENSORFLOW if set(formats) <= set(DEFAULT_FORMATS) else "",
    }
    try:
        path = os.path.join(output, str(_next_version(output)))
        with complete_or_absent(path) as temporary:
            signatures = {"serving_default": server.caption, "encode": server.encode}
            tf.saved_model.save(server, temporary, signatures=signatures)
            text = json.dumps(metadata, indent=2) + "\n"
            write_text(os.path.join(temporary, METADATA_FILE), text)
            if check:
                with damaged_shards_named(trained.dataset):
                    count = check_export(temporary, encoder, trained, search, formats)
                tried = f"{count} training pictures" if count else "noise, for want of pictures"
                print(f"Checked in a session of its own on {tried}")
    except DISK_ERRORS as error:
        reason = failure_line(error)
        raise InputError(f"--output: {output} cannot be written to: {reason}") from error
    print(f"Exported: {path}")
    return path


def _load_encoder(path: str) -> Any:
    """The image encoder of a dataset."""
    if not tf.io.gfile.isdir(path):
        raise InputError(
            f"--data: {path} is missing: the export needs the image encoder. "
            f"{write_anew(ENCODER_DIRECTORY)}"
        )
    try:
        encoder = tf.saved_model.load(path)
    except Exception as error:  # damaged protocol buffers fail in any way
        raise InputError(
            f"--data: {path} is damaged: {one_line(error)}. {write_anew(ENCODER_DIRECTORY)}"
        ) from error
    if not hasattr(encoder, "decoders"):
        raise InputError(
            f"--data: {path} is of an older version and does not say what is wrong with a picture. "
            f"{write_anew(ENCODER_DIRECTORY)}"
        )
    return encoder


def _next_version(output: str) -> int:
    tf.io.gfile.makedirs(output)
    # Object stores list directories with a slash.
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(output)]
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1
