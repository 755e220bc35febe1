"""Checks an export before it is published.

A new process loads it into a session, as TensorFlow Serving does, and captions a few training
pictures. Captions and scores must equal those of the trainer's own search.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrecords_schema.characters import join_characters
from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.exported_model import CAPTIONS, ERROR, LOG_PROBS
from tfrecords_schema.image_formats import FORMAT_NAMES
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.parse import parse_batch, parse_record
from trainer.decoding.beam_search import search_captions
from trainer.decoding.search_config import SearchConfig
from trainer.errors import ExportError
from trainer.layers.model_input import as_model_input
from trainer.models.captioner import Captioner

PICTURES = 4
LOOKED_AT = 32  # records of the training split that are tried to find PICTURES readable pictures
# Another order of summation changes features and scores a little, other weights by much more.
FEATURE_TOLERANCE = 0.02  # relative to their norm
SCORE_TOLERANCE = 0.02  # relative to the score, or in nats if the score is below 1


class Picture(NamedTuple):
    """A picture to try an export on."""

    name: str
    content: bytes
    features: tf.Tensor  # a batch of one, as in the dataset


def check_export(
    version: str,
    encoder: Any,
    model: Captioner,
    dataset: Dataset,
    search: SearchConfig,
    formats: Sequence[str],
) -> int:
    """Compares an export's captions of pictures with the trainer's.

    Args:
      version: directory of the export.
      encoder: the dataset's SavedModel.
      model: the captioner that was exported.
      dataset: the dataset that it was trained on.
      search: the search settings.
      formats: the formats of FORMAT_NAMES that the export reads.

    Returns:
      The number of training pictures that it was checked on. If none of their files can be read,
      it is checked on noise.

    Raises:
      InputError: the encoder's features of the pictures differ from the dataset's.
      ExportError: the export cannot be run, or its captions differ from the trainer's.
    """
    pictures = list(_training_pictures(encoder, dataset, formats))
    tried = pictures or _noise(encoder, dataset.manifest, formats)
    answer = _answer_of_session(version, [picture.content for picture in tried])
    for i, picture in enumerate(tried):
        caption, score = _own_caption(picture, model, dataset, search)
        if answer[ERROR][i]:
            raise ExportError(f"the export refuses {picture.name}: {answer['error'][i]}")
        found, its_score = answer[CAPTIONS][i][0], answer[LOG_PROBS][i][0]
        difference = abs(its_score - score) / max(1, abs(score))
        # Of two captions with equal scores, either may be the best one.
        if not difference < SCORE_TOLERANCE:
            raise ExportError(
                f"the export does not caption {picture.name} as the trainer does: it says "
                f"{found!r} ({its_score:.3f}), the trainer {caption!r} ({score:.3f}). It is not "
                "published"
            )
    return len(pictures)


def _training_pictures(encoder: Any, dataset: Dataset, formats: Sequence[str]) -> Iterator[Picture]:
    """The first pictures of the training split whose files can be read."""
    manifest, found, changed = dataset.manifest, 0, ""
    for serialized in dataset.records("train", LOOKED_AT):
        uri = parse_record(manifest.features(), serialized)["image_uri"].numpy()
        try:
            uri = uri.decode()
            with tf.io.gfile.GFile(uri, "rb") as file:
                content = file.read()
        except (tf.errors.OpError, ValueError):
            continue  # the picture is inside another file, or is gone
        number = int(encoder.format_number(tf.constant(content)))
        if number == len(FORMAT_NAMES) or FORMAT_NAMES[number] not in formats:
            continue
        batch = parse_batch(manifest.features(), serialized[tf.newaxis])
        stored = batch["image" if manifest.has_images() else "image_features"]
        try:
            features = _features(encoder, manifest, content)
            is_same = _distance(features, stored) < FEATURE_TOLERANCE
        except tf.errors.OpError:
            is_same = False
        if not is_same:
            # A relative path may name another file in this working directory.
            changed = uri if os.path.isabs(uri) or "://" in uri else changed
            continue
        yield Picture(uri, content, features)
        found += 1
        if found == PICTURES:
            return
    if changed and not found:
        raise InputError(
            f"--data: the image_encoder of {dataset.directory} makes other features of {changed} "
            "than the dataset has: the pictures or the encoder were replaced after it was written. "
            "Write it again with the pipeline"
        )


def _noise(encoder: Any, manifest: Manifest, formats: Sequence[str]) -> list[Picture]:
    """A picture of noise; none if TensorFlow cannot write any of the formats."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    writers = {"JPEG": tf.io.encode_jpeg, "PNG": tf.io.encode_png}
    contents = [write(pixels).numpy() for name, write in writers.items() if name in formats][:1]
    return [Picture("noise", each, _features(encoder, manifest, each)) for each in contents]


def _features(encoder: Any, manifest: Manifest, content: bytes) -> tf.Tensor:
    made = encoder(tf.constant([content]))
    if manifest.has_images():
        return manifest.features()["image"].decode_example(made[0])[tf.newaxis]
    return tf.cast(made, manifest.feature_dtype)


def _distance(features: tf.Tensor, stored: tf.Tensor) -> float:
    """The norm of the difference, relative to the norm of the stored features."""
    one, two = (x.numpy().astype(np.float64).ravel() for x in (features, stored))
    return float(np.linalg.norm(one - two)) / max(float(np.linalg.norm(two)), 1e-9)


def _own_caption(
    picture: Picture, model: Captioner, dataset: Dataset, search: SearchConfig
) -> tuple[str, float]:
    ids_BST, log_probs_BS = search_captions(model, as_model_input(picture.features), search)
    words = " ".join(dataset.vocabulary.words(ids_BST.numpy()[0, 0]))
    caption = join_characters(words) if dataset.has_characters else words
    return caption, float(log_probs_BS.numpy()[0, 0])


def _answer_of_session(version: str, contents: list[bytes]) -> dict[str, list]:
    """The output of `trainer.serving.session_captions`, run in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, str(i)) for i in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            with open(path, "wb") as file:
                file.write(content)
        result = os.path.join(folder, "result.json")
        environment = os.environ | {
            # This process may hold the GPU, and an export must run without one.
            "CUDA_VISIBLE_DEVICES": "",
            # A notebook may have added this package's path to sys.path itself.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        done = subprocess.run(
            [sys.executable, "-m", "trainer.serving.session_captions", version, result, *paths],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ExportError(f"the export cannot be run in a session: {said[-1]}")
        with open(result) as file:
            return json.load(file)
