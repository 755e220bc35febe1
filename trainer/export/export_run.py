"""Exports a SavedModel from image bytes to captions; see `tfrecords_schema.exported_model`.

Loading it needs only TensorFlow, and TensorFlow Serving accepts it unchanged. Before it is
published, its captions of pictures must equal the trainer's; see `export_check`.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.dataset import Dataset
from tfrecords_schema.disk_failures import DISK_ERRORS, failure_line
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.exported_model import (
    CAPTION_SIGNATURE,
    ENCODE_SIGNATURE,
    METADATA_FILE,
    OLDEST_TENSORFLOW,
)
from tfrecords_schema.image_formats import DEFAULT_FORMATS, parse_formats
from tfrecords_schema.manifest import ENCODER_DIRECTORY, write_anew
from tfrecords_schema.messages import logger
from trainer.data.damaged_shards import damaged_shards_named
from trainer.decoding.search_config import SearchConfig
from trainer.export.caption_server import CaptionServer
from trainer.export.export_check import check_export
from trainer.models.captioner import Captioner


def export(
    model: Captioner,
    dataset: Dataset,
    output: str,
    search: SearchConfig,
    formats: Sequence[str] = DEFAULT_FORMATS,
    run: str = "",
    check: bool = True,
) -> str:
    """Exports a captioner as the next version under `output`.

    Args:
      model: a trained captioner.
      dataset: the dataset that it was trained on.
      output: the directory of versions.
      search: the search settings.
      formats: the formats of FORMAT_NAMES, in any case, that the export reads.
      run: the directory of the run, for the metadata.
      check: whether the export is checked before it is published.

    Returns:
      The directory of the new version.

    Raises:
      InputError: the dataset's image encoder is missing, or `output` cannot be written to.
      ExportError: the export's captions differ from the trainer's.
    """
    formats = parse_formats(",".join(formats))
    if tf.io.gfile.exists(output) and not tf.io.gfile.isdir(output):
        raise InputError(f"--output: {output} is a file, it must be a directory")
    encoder = _load_encoder(dataset.encoder_path)
    server = CaptionServer(encoder, model, dataset, formats, search)
    metadata = {
        **dataset.fingerprints(),
        "run": os.path.abspath(run) if run and "://" not in run else run,
        "search": dataclasses.asdict(search),
        "formats": list(formats),
        "tensorflow": tf.__version__,
        "oldest_tensorflow": OLDEST_TENSORFLOW if set(formats) <= set(DEFAULT_FORMATS) else "",
    }
    try:
        path = os.path.join(output, str(_next_version(output)))
        with complete_or_absent(path) as temporary:
            signatures = {CAPTION_SIGNATURE: server.caption, ENCODE_SIGNATURE: server.encode}
            tf.saved_model.save(server, temporary, signatures=signatures)
            text = json.dumps(metadata, indent=2) + "\n"
            write_text(os.path.join(temporary, METADATA_FILE), text)
            if check:
                with damaged_shards_named(dataset):
                    count = check_export(temporary, encoder, model, dataset, search, formats)
                tried = f"{count} training pictures" if count else "noise, for want of pictures"
                logger.info(f"Checked in a session of its own on {tried}")
    except DISK_ERRORS as error:
        reason = failure_line(error)
        raise InputError(f"--output: {output} cannot be written to: {reason}") from error
    logger.info(f"Exported: {path}")
    return path


def _load_encoder(path: str) -> Any:
    """Loads the image encoder of a dataset."""
    if not tf.io.gfile.isdir(path):
        raise InputError(
            f"--data: {path} is missing: the export needs the image encoder. "
            f"{write_anew(ENCODER_DIRECTORY)}"
        )
    try:
        encoder = tf.saved_model.load(path)
    except Exception as error:  # damaged protocol buffers raise any kind of error
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
    # Object stores list directories with a trailing slash.
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(output)]
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1
