"""The export: a SavedModel from image bytes to captions.

    EXPORT/<version>/
      saved_model.pb, variables/    the dataset's image encoder, decoder, beam search, vocabulary
      assets.extra/beamcap.json     fingerprints of dataset and encoder, and the search's settings

It needs nothing but TensorFlow to load, and TensorFlow Serving takes it as it lies. Signatures:

    serving_default   image_bytes string [batch] -> captions string [batch, beams], best first;
                      log_probs float32 [batch, beams]
    encode            image_bytes string [batch] -> features float32 [batch, ...], as the pipeline's
                      (of a dataset of images: JPEG files, string [batch])
"""

import functools
import json
import os
from typing import Any

import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.characters import GAP_CLOSED, RE2_GAP, of_characters
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import ENCODER_DIRECTORY, Manifest
from tfrecords_schema.vocabulary import PAD, START, UNK, Vocabulary
from trainer.decode import search_captions
from trainer.model_input import as_model_input
from trainer.models.captioner import Captioner
from trainer.run_directory import load_run

METADATA_FILE = os.path.join("assets.extra", "beamcap.json")
IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")


class CaptionServer(tf.Module):
    """The served model; everything it needs is inside."""

    def __init__(
        self,
        encoder: Any,
        model: Captioner,
        vocabulary: Vocabulary,
        manifest: Manifest,
        beam_width: int,
        max_words: int,
        length_penalty: float,
    ):
        """Puts the dataset's image encoder in front of the trained captioner."""
        super().__init__(name="caption_server")
        self._encoder = encoder
        # A session restores TensorFlow's variables and not Keras', which hold them: those are
        # tracked and the model is not.
        self._weights = [variable.value for variable in model.weights]
        self._search = functools.partial(search_captions, model)
        self._manifest = manifest
        self._beam_width, self._max_words = beam_width, max_words
        self._length_penalty = length_penalty
        # Reserved tokens are never words of a caption; <end> and <pad> end it.
        silent = {PAD, UNK, START, vocabulary.tokens.index("<end>")}
        self._words = tf.constant(
            ["" if i in silent else token for i, token in enumerate(vocabulary.tokens)]
        )

    @tf.function(input_signature=[IMAGE_BYTES], autograph=False)
    def encode(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Features as the dataset has them, before they are rounded to its dtype; or JPEG files."""
        return {"features": self._encoder(image_bytes)}

    @tf.function(input_signature=[IMAGE_BYTES], autograph=False)
    def caption(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Captions of encoded images."""
        features = self._encoder(image_bytes)
        # The model sees just what it was trained on: images that were JPEG files, features that
        # were rounded.
        if self._manifest.has_images():
            decode = self._manifest.features()["image"].decode_example
            features = tf.map_fn(decode, features, fn_output_signature=tf.uint8)
            features = tf.ensure_shape(features, [None, *self._manifest.feature_shape()])
        else:
            features = tf.cast(features, self._manifest.feature_dtype)
        ids_BWT, log_probs_BW = self._search(
            as_model_input(features), self._beam_width, self._max_words, self._length_penalty
        )
        words = tf.gather(self._words, ids_BWT)
        captions = tf.strings.strip(tf.strings.reduce_join(words, axis=-1, separator=" "))
        if of_characters(self._manifest.config):
            for _ in range(2):
                captions = tf.strings.regex_replace(captions, RE2_GAP, GAP_CLOSED)
        return {"captions": captions, "log_probs": log_probs_BW}


def export(
    run: str, data: str, output: str, beam_width: int, max_words: int, length_penalty: float
) -> str:
    """Exports a run's best model as the next version under `output`.

    Args:
      run: directory of a trained run.
      data: the dataset where it has moved; empty: where the run found it.
      output: directory of versions.
      beam_width: see `beam_search`.
      max_words: likewise.
      length_penalty: likewise.

    Returns:
      The directory of the new version.

    Raises:
      InputError: the run or its dataset is not there, or `output` is a file.
    """
    if tf.io.gfile.exists(output) and not tf.io.gfile.isdir(output):
        raise InputError(f"--output: {output} is a file, it must be a directory")
    trained = load_run(run, data)
    encoder_path = os.path.join(trained.config.data, ENCODER_DIRECTORY)
    if not tf.io.gfile.isdir(encoder_path):
        raise InputError(f"--data: {encoder_path} is missing: the export needs the image encoder")
    server = CaptionServer(
        tf.saved_model.load(encoder_path), trained.model, trained.vocabulary,
        trained.manifest, beam_width, max_words, length_penalty,
    )  # fmt: skip
    tf.io.gfile.makedirs(output)
    versions = [int(name) for name in map(_plain, tf.io.gfile.listdir(output)) if name.isdecimal()]
    path = os.path.join(output, str(max(versions, default=0) + 1))
    metadata = {
        **trained.manifest.fingerprints(),
        "run": run,
        "beam_width": beam_width,
        "max_words": max_words,
        "length_penalty": length_penalty,
        "tensorflow": tf.__version__,
    }
    with complete_or_absent(path) as temporary:
        signatures = {"serving_default": server.caption, "encode": server.encode}
        tf.saved_model.save(server, temporary, signatures=signatures)
        write_text(os.path.join(temporary, METADATA_FILE), json.dumps(metadata, indent=2) + "\n")
    print(f"Exported: {path}")
    return path


def _plain(name: str) -> str:
    return name.rstrip("/")  # object stores list directories with a slash
