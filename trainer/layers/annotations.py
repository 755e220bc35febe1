"""The annotation vectors of an image, for attention (Xu et al. 2015, section 3.1.1).

    a_i = relu(W_a x_i + b_a)         annotation of region i from its features
    k_i = W_k a_i                     its key, which is scored

The annotations are projected once an image to `annotation_units`, which the paper does not do: the
later layers work on 512 numbers a region instead of 1280. Pooled features are one region.

Shape suffixes: B images, R regions, D feature depth, C annotation units, A attention units.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.dropout import dropout_images, dropout_regions
from trainer.layers.packed_rnn import RnnState
from trainer.layers.rnn_stack import split_states
from trainer.replicas.stateless_random import Seed


class Context(NamedTuple):
    """The annotations and keys of images. They depend on the image alone."""

    annotations_BRC: tf.Tensor
    keys_BRA: tf.Tensor


class Annotations(keras.layers.Layer):
    """Computes the annotations of images, and the initial state of an RNN from them."""

    def __init__(self, config: ModelConfig, feature_depth: int):
        """The features are [batch, regions, feature_depth]."""
        super().__init__(name="annotations")
        self._config = config
        self._annotate = keras.layers.Dense(config.annotation_units, "relu", name="annotate")
        self._annotate.build((None, feature_depth))
        self._key = keras.layers.Dense(config.attention_units, use_bias=False, name="key")
        self._initial = keras.layers.Dense(
            2 * config.units * config.layers, "tanh", name="initial_state"
        )
        for layer in (self._key, self._initial):
            layer.build((None, config.annotation_units))
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None) -> Context:
        """The annotations and keys of images; `seed` turns on dropout of regions and of units."""
        features_BRD = dropout_regions(features_BRD, self._config.region_dropout, seed)
        annotations_BRC = self._annotate(features_BRD)
        annotations_BRC = dropout_images(annotations_BRC, self._config.annotation_dropout, seed, 0)
        return Context(annotations_BRC, self._key(annotations_BRC))

    def start(self, context: Context) -> list[RnnState]:
        """The state of each layer before the first word, from the mean annotation (3.1.2)."""
        mean_BC = tf.reduce_mean(context.annotations_BRC, axis=1)
        return split_states(self._config, self._initial(mean_BC))
