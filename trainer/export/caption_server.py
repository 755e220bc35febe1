"""The served model: image bytes to captions, in one graph.

It fails for nothing that a picture holds. What an operation raises within a graph cannot be caught
there, but tf.data can leave out elements that fail: pictures go through it, those that are missing
are answered with an error, and the others are captioned as if they were alone.

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
    """The served model; everything it needs is inside."""

    def __init__(
        self,
        encoder: Any,
        model: Captioner,
        dataset: Dataset,
        formats: Sequence[str],
        search: SearchConfig,
    ):
        """Puts the dataset's image encoder in front of the trained captioner.

        Args:
          encoder: the dataset's SavedModel.
          model: the captioner.
          dataset: that the captioner was trained on.
          formats: those of FORMAT_NAMES that are decoded. The operations of others are not in the
            graph.
          search: how captions are searched for.
        """
        super().__init__(name="caption_server")
        # Not the encoder itself: with it would come all that it decodes.
        parts = tf.train.TrackableView(encoder).descendants()
        self._encoder_weights = [part for part in parts if isinstance(part, tf.Variable)]
        self._features = functools.partial(
            encode_pictures, encoder, dataset.manifest, list(formats)
        )
        # A session restores TensorFlow's variables and not Keras', which hold them: those are
        # tracked and the model is not.
        self._weights = [variable.value for variable in model.weights]
        self._search = lambda regions: search_captions(model, regions, search)
        self._manifest, self._has_characters = dataset.manifest, dataset.has_characters
        self._words = tf.constant(dataset.vocabulary.written())

    @tf.function(input_signature=[INPUT], autograph=False)
    def encode(self, image_bytes: tf.Tensor) -> Outputs:
        """Features as the dataset has them, before they are rounded to its dtype; or JPEG files."""
        features, error_B = self._features(image_bytes)
        # An output of bytes is one by its name, for TensorFlow Serving's REST interface.
        name = JPEG_BYTES if self._manifest.has_images() else FEATURES
        return {name: features, ERROR: error_B}

    @tf.function(input_signature=[INPUT], autograph=False)
    def caption(self, image_bytes: tf.Tensor) -> Outputs:
        """Captions of encoded images."""
        features, error_B = self._features(image_bytes)
        # The model sees just what it was trained on: images that were JPEG files, features that
        # were rounded.
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
    """What the encoder makes of pictures, and why it is nothing that can be captioned.

    Args:
      encoder: the dataset's SavedModel.
      manifest: of the dataset.
      formats: those of FORMAT_NAMES that are decoded.
      image_bytes: string [batch], image files.

    Returns:
      features: float32 [batch, ...], or JPEG files, string [batch]. Where there is an error they
        are those of a black image, or zeros.
      error: string [batch], empty where there is none.
    """
    numbers = [FORMAT_NAMES.index(name) for name in formats]
    is_in_graph = tf.constant([number in numbers for number in range(len(FORMAT_NAMES))] + [True])
    names, accepted = tf.constant([*FORMAT_NAMES, ""]), listed(tuple(formats))
    assert manifest.encoder is not None  # or there were no trained run
    side = manifest.encoder.image_size
    shape = tf.TensorShape([side, side, 3])

    def decode(one: tf.Tensor) -> tf.Tensor:
        # Of all branches the first one that is not a format's is taken, which fails.
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
    # Most batches have no error, and are not looked at for one.
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
    """Features that stay finite in the dataset's dtype; where they do not, zeros and an error."""
    axes = list(range(1, features.shape.rank))
    is_finite_B = tf.reduce_all(tf.math.is_finite(tf.cast(features, manifest.feature_dtype)), axes)
    # `where` and no product: what is not finite would stay so.
    features = tf.where(tf.reshape(is_finite_B, [-1, *[1] * len(axes)]), features, 0.0)
    unusable = f"its features are not finite in {manifest.feature_dtype}"
    return features, tf.where(is_finite_B | (error_B != ""), error_B, unusable)


def _never_empty(x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """`x`, or zeros for one picture where there is none: convolutions fail on a batch of none."""
    others = [[0, 0]] * (x.shape.rank - 1)
    return tf.pad(x, [[0, tf.cast(count == 0, tf.int32)], *others])


def _fail(shape: tf.TensorShape) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(False, ["a format that is not read"])]):
        return tf.zeros(shape)


def map_or_else(
    function: Callable[[tf.Tensor], tf.Tensor], elements_B: tf.Tensor, otherwise: tf.Tensor | str
) -> tuple[tf.Tensor, tf.Tensor]:
    """`function` of each element, and `otherwise` where it fails.

    Args:
      function: of a scalar; raises where it fails. It holds no variables.
      elements_B: [batch].
      otherwise: what stands in, of the shape and dtype that `function` gives.

    Returns:
      Values [batch, ...] and whether each is that of `function`, bool [batch].
    """
    otherwise = tf.convert_to_tensor(otherwise)
    count = tf.size(elements_B)
    elements = tf.data.Dataset.from_tensor_slices((tf.range(count), elements_B))
    # AutoGraph has nothing to turn here, and would look for sources that an export does not have.
    apply = tf.autograph.experimental.do_not_convert(lambda i, one: (i, function(one)))
    good = elements.map(apply).ignore_errors()
    # With one more element there is always a batch.
    first = tf.data.Dataset.from_tensors((tf.constant(0), otherwise))
    batches = first.concatenate(good).batch(tf.cast(count, tf.int64) + 1)
    options = tf.data.Options()
    options.autotune.enabled = False  # else the graph would be planned anew in each call
    options.experimental_optimization.apply_default_optimizations = False
    places, values = batches.with_options(options).get_single_element()
    places, values = places[1:, tf.newaxis], values[1:]
    is_good_B = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1], tf.int32), [count]) > 0
    all_otherwise = tf.repeat(otherwise[tf.newaxis], count, axis=0)
    return tf.tensor_scatter_nd_update(all_otherwise, places, values), is_good_B
