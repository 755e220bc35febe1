"""The exported model: from image bytes to captions, in one graph.

No picture makes it fail. An error of an operation cannot be caught within a graph, but tf.data can
skip elements that fail. So pictures pass through tf.data; those that it skips get an error message,
and the others get the same captions as they would alone.

Shape suffixes: B batch, S beams, T time.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfrecords_schema.characters import GAP_CLOSED, RE2_GAP
from tfrecords_schema.dataset import Dataset
from tfrecords_schema.exported_model import (
    CAPTIONS,
    ERROR,
    FEATURES,
    IMAGE_BYTES,
    JPEG_BYTES,
    LOG_PROBS,
)
from tfrecords_schema.image_formats import FORMAT_NAMES, listed
from tfrecords_schema.manifest import Manifest
from trainer.decoding.beam_search import search_captions
from trainer.decoding.search_config import SearchConfig
from trainer.layers.model_input import as_model_input
from trainer.models.captioner import Captioner

INPUT = tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)
Outputs = dict[str, tf.Tensor]


class CaptionServer(tf.Module):
    """The served model, which contains all that it needs."""

    def __init__(
        self,
        encoder: Any,
        model: Captioner,
        dataset: Dataset,
        formats: Sequence[str],
        search: SearchConfig,
    ):
        """Connects the dataset's image encoder to the trained captioner.

        Args:
          encoder: the dataset's SavedModel.
          model: the captioner.
          dataset: the dataset that the captioner was trained on.
          formats: the formats of FORMAT_NAMES to decode. The graph has no decoders of the others.
          search: the search settings.
        """
        super().__init__(name="caption_server")
        # Only the encoder's variables are tracked: the encoder would bring all its decoders.
        parts = tf.train.TrackableView(encoder).descendants()
        self._encoder_weights = [part for part in parts if isinstance(part, tf.Variable)]
        self._features = functools.partial(
            encode_pictures, encoder, dataset.manifest, list(formats)
        )
        # A session restores TensorFlow variables but not the Keras variables that wrap them. So
        # the former are tracked, and the model is not.
        self._weights = [variable.value for variable in model.weights]
        self._search = lambda regions: search_captions(model, regions, search)
        self._manifest, self._has_characters = dataset.manifest, dataset.has_characters
        self._words = tf.constant(dataset.vocabulary.written())

    @tf.function(input_signature=[INPUT], autograph=False)
    def encode(self, image_bytes: tf.Tensor) -> Outputs:
        """Features as in the dataset, before they are cast to its dtype; or JPEG files."""
        features, error_B = self._features(image_bytes)
        # The output's name marks it as bytes, for TensorFlow Serving's REST interface.
        name = JPEG_BYTES if self._manifest.has_images() else FEATURES
        return {name: features, ERROR: error_B}

    @tf.function(input_signature=[INPUT], autograph=False)
    def caption(self, image_bytes: tf.Tensor) -> Outputs:
        """The captions of encoded images."""
        features, error_B = self._features(image_bytes)
        # The model's input is exactly as in training: images that were stored as JPEG, features
        # that were rounded to the dataset's dtype.
        if self._manifest.has_images():
            decode = self._manifest.features()["image"].decode_example
            features = tf.map_fn(decode, features, fn_output_signature=tf.uint8)
            features = tf.ensure_shape(features, [None, *self._manifest.feature_shape()])
        else:
            features = tf.cast(features, self._manifest.feature_dtype)
        count = tf.shape(image_bytes)[0]
        ids_BST, log_probs_BS = self._search(as_model_input(_never_empty(features, count)))
        ids_BST, log_probs_BS = ids_BST[:count], log_probs_BS[:count]
        words = tf.gather(self._words, ids_BST)
        captions_BS = tf.strings.strip(tf.strings.reduce_join(words, axis=-1, separator=" "))
        if self._has_characters:
            for _ in range(2):
                captions_BS = tf.strings.regex_replace(captions_BS, RE2_GAP, GAP_CLOSED)
        is_good_B1 = (error_B == "")[:, tf.newaxis]
        return {
            CAPTIONS: tf.where(is_good_B1, captions_BS, ""),
            LOG_PROBS: tf.where(is_good_B1, log_probs_BS, 0.0),
            ERROR: error_B,
        }


def encode_pictures(
    encoder: Any, manifest: Manifest, formats: list[str], image_bytes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The encoder's output for pictures, and an error for those that cannot be captioned.

    Args:
      encoder: the dataset's SavedModel.
      manifest: the manifest of the dataset.
      formats: the formats of FORMAT_NAMES to decode.
      image_bytes: string [batch], image files.

    Returns:
      features: float32 [batch, ...], or JPEG files, string [batch]. Pictures with an error have
        those of a black image, or zeros.
      error: string [batch], "" if there is no error.
    """
    numbers = [FORMAT_NAMES.index(name) for name in formats]
    is_in_graph = tf.constant([number in numbers for number in range(len(FORMAT_NAMES))] + [True])
    names, accepted = tf.constant([*FORMAT_NAMES, ""]), listed(tuple(formats))
    assert manifest.encoder is not None  # every trained run has one
    side = manifest.encoder.image_size
    shape = tf.TensorShape([side, side, 3])

    def decode(one: tf.Tensor) -> tf.Tensor:
        # An unknown format takes the default branch, which fails.
        branches: list[Callable] = [functools.partial(encoder.decoders[n], one) for n in numbers]
        place = tf.argmax(tf.concat([tf.equal(numbers, encoder.format_number(one)), [True]], 0))
        return tf.switch_case(tf.cast(place, tf.int32), branches, default=lambda: _fail(shape))

    def fault(one: tf.Tensor) -> tf.Tensor:
        number = encoder.format_number(one)
        other = tf.strings.join([tf.gather(names, number), f" is not read, {accepted} is"])
        return tf.cond(
            tf.gather(is_in_graph, number), lambda: encoder.image_fault(one), lambda: other
        )

    images, is_decoded_B = map_or_else(decode, image_bytes, tf.zeros(shape))
    # Most batches have no error, so the search for faults is skipped.
    error_B = tf.cond(
        tf.reduce_all(is_decoded_B),
        lambda: tf.fill(tf.shape(image_bytes), ""),
        lambda: tf.where(
            is_decoded_B, "", map_or_else(fault, image_bytes, "damaged: it cannot be decoded")[0]
        ),
    )
    count = tf.shape(image_bytes)[0]
    features = encoder.encode(_never_empty(images, count))[:count]
    if features.dtype == tf.string:
        return features, error_B
    return _finite(features, error_B, manifest)


def _finite(
    features: tf.Tensor, error_B: tf.Tensor, manifest: Manifest
) -> tuple[tf.Tensor, tf.Tensor]:
    """Features that are finite in the dataset's dtype; others become zeros with an error."""
    axes = list(range(1, features.shape.rank))
    is_finite_B = tf.reduce_all(tf.math.is_finite(tf.cast(features, manifest.feature_dtype)), axes)
    # `where` instead of a product: infinity times 0 is not finite.
    features = tf.where(tf.reshape(is_finite_B, [-1, *[1] * len(axes)]), features, 0.0)
    unusable = f"its features are not finite in {manifest.feature_dtype}"
    return features, tf.where(is_finite_B | (error_B != ""), error_B, unusable)


def _never_empty(x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """`x`, or zeros for one picture if it is empty: convolutions fail on an empty batch."""
    others = [[0, 0]] * (x.shape.rank - 1)
    return tf.pad(x, [[0, tf.cast(count == 0, tf.int32)], *others])


def _fail(shape: tf.TensorShape) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, ["a format that is not read"])]):
        return tf.zeros(shape)


def map_or_else(
    function: Callable[[tf.Tensor], tf.Tensor], elements_B: tf.Tensor, otherwise: tf.Tensor | str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies `function` to each element, and gives `otherwise` where it fails.

    Args:
      function: a function of a scalar that raises where it fails. It holds no variables.
      elements_B: [batch].
      otherwise: the value for failures, of the shape and dtype of the function's result.

    Returns:
      Values [batch, ...], and whether each is the function's result, bool [batch].
    """
    otherwise = tf.convert_to_tensor(otherwise)
    count = tf.size(elements_B)
    elements = tf.data.Dataset.from_tensor_slices((tf.range(count), elements_B))
    # AutoGraph has nothing to convert here, and would need source code that an export lacks.
    apply = tf.autograph.experimental.do_not_convert(lambda i, one: (i, function(one)))
    good = elements.map(apply).ignore_errors()
    # One element is added, so that there is always a batch.
    first = tf.data.Dataset.from_tensors((tf.constant(0), otherwise))
    batches = first.concatenate(good).batch(tf.cast(count, tf.int64) + 1)
    options = tf.data.Options()
    options.autotune.enabled = False  # else each call would optimize the graph again
    options.experimental_optimization.apply_default_optimizations = False
    places, values = batches.with_options(options).get_single_element()
    places, values = places[1:, tf.newaxis], values[1:]
    is_good_B = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1], tf.int32), [count]) > 0
    all_otherwise = tf.repeat(otherwise[tf.newaxis], count, axis=0)
    return tf.tensor_scatter_nd_update(all_otherwise, places, values), is_good_B
