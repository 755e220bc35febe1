"""A Transformer decoder that looks at the image (Vaswani et al. 2017, arXiv:1706.03762).

    x_t    = sqrt(D) E y_{t-1} + position(t)                       sections 3.4 and 3.5
    each layer, with the norm before each part (Xiong et al. 2020, arXiv:2002.04745):
        x += SelfAttention(norm(x)), at the words up to t
        x += CrossAttention(norm(x)), at the regions W_a x_i + b_a
        x += W_2 relu(W_1 norm(x))                                 section 3.3
    p(y_t) = softmax(W_o norm(x_t) + b_o)

In decoding the keys and values of earlier words are kept in the state.

Shape suffixes: B images, N rows (captions or beams), R regions, D width (`units`), V vocabulary,
T time, L longest caption in decoding, P packed words.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.draws import Seed
from trainer.models.captioner import PackedCaptions, pack, unpack
from trainer.models.dot_attention import DotAttention, Memory
from trainer.models.dropout import (
    dropout_captions,
    dropout_images,
    dropout_regions,
    dropout_words,
)
from trainer.models.words import Words

DROPOUTS_A_LAYER = 3


class State(NamedTuple):
    """The words so far."""

    time_N: tf.Tensor  # int32
    memories: list[Memory]  # one a layer, [N, L, D]; zeros from time_N on


class Block(keras.layers.Layer):
    """One layer of the decoder."""

    def __init__(self, config: ModelConfig, name: str):
        """`config.units` wide."""
        super().__init__(name=name)
        units, heads = config.units, config.heads
        self._rate = config.layer_dropout
        self.itself = DotAttention(units, heads, units, units, "self_attention")
        self.image = DotAttention(units, heads, units, units, "cross_attention")
        self._wide = keras.layers.Dense(config.feed_forward_units, "relu", name="feed_forward_1")
        self._narrow = keras.layers.Dense(units, name="feed_forward_2")
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-5, name=f"norm_{i}") for i in range(3)
        ]
        for layer in (self._wide, *self._norms):
            layer.build((None, units))
        self._narrow.build((None, config.feed_forward_units))
        self.built = True

    def before_self(self, x: tf.Tensor) -> tf.Tensor:
        """What looks, and is looked at, in the attention of words to words."""
        return self._norms[0](x)

    def apply(
        self,
        x: tf.Tensor,
        normed: tf.Tensor,
        words: Memory,
        may_look: tf.Tensor,
        image: Memory,
        seed: Seed | None,
        place: int,
    ) -> tf.Tensor:
        """The layer on [N, T, D]; the rows of an image follow each other, equally many each."""
        x += dropout_captions(self.itself.attend(normed, words, may_look), self._rate, seed, place)
        images = tf.shape(image.keys_BRD)[0]
        shape = tf.shape(x)
        looking = tf.reshape(self._norms[1](x), [images, shape[0] // images * shape[1], x.shape[2]])
        seen = tf.reshape(self.image.attend(looking, image), shape)
        x += dropout_captions(seen, self._rate, seed, place + 1)
        x += dropout_captions(
            self._narrow(self._wide(self._norms[2](x))), self._rate, seed, place + 2
        )
        return x


class Transformer(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its context is each layer's view of the image."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="transformer")
        units = config.units
        self._config = config
        self.words = Words(vocabulary_size, units, units, config.tied_embeddings)
        self._image = keras.layers.Dense(units, name="image")
        self._image.build((None, feature_depth))
        self._image_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="image_norm")
        self._last_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="last_norm")
        self._image_norm.build((None, units))
        self._last_norm.build((None, units))
        self._blocks = [Block(config, f"layer_{number}") for number in range(config.layers)]
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> list[Memory]:
        """See `Captioner`."""
        features_BRD = dropout_regions(features_BRD, self._config.region_dropout, seed)
        regions = self._image_norm(self._image(features_BRD))
        regions = dropout_images(regions, self._config.annotation_dropout, seed, 0)
        return [block.image.memory(regions) for block in self._blocks]

    def start(self, context: list[Memory], max_words: int) -> State:
        """See `Captioner`."""
        rows = tf.shape(context[0].keys_BRD)[0]
        nothing = tf.zeros([rows, max_words + 1, self._config.units])
        return State(tf.zeros([rows], tf.int32), [Memory(nothing, nothing)] * len(self._blocks))

    def step(
        self, context: list[Memory], state: State, token_N: tf.Tensor
    ) -> tuple[tf.Tensor, State]:
        """See `Captioner`."""
        x_N1D = self._embed(token_N[:, tf.newaxis], state.time_N[:, tf.newaxis])
        places_L = tf.range(tf.shape(state.memories[0].keys_BRD)[1])
        is_here = (places_L == state.time_N[:, tf.newaxis])[..., tf.newaxis]
        may_look = (places_L <= state.time_N[:, tf.newaxis])[:, tf.newaxis, tf.newaxis]
        memories = []
        for block, image, before in zip(self._blocks, context, state.memories, strict=True):
            normed = block.before_self(x_N1D)
            new = block.itself.memory(normed)
            memory = Memory(*(tf.where(is_here, *pair) for pair in zip(new, before, strict=True)))
            memories.append(memory)
            x_N1D = block.apply(x_N1D, normed, memory, may_look, image, None, 0)
        logits_NV = self.words.logits(self._last_norm(x_N1D[:, 0]))
        return logits_NV, State(state.time_N + 1, memories)

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> tf.Tensor:
        """See `Captioner`."""
        config = self._config
        ids_NT = unpack(words.inputs_P, words)
        times_T = tf.range(tf.shape(ids_NT)[1])
        x_NTD = self._embed(ids_NT, times_T)
        x_NTD = dropout_captions(x_NTD, config.embedding_dropout, seed, 1)
        may_look_TT = times_T <= times_T[:, tf.newaxis]
        for number, (block, image) in enumerate(
            zip(self._blocks, self.encode(features_BRD, seed), strict=True)
        ):
            normed = block.before_self(x_NTD)
            place = 3 + DROPOUTS_A_LAYER * number
            x_NTD = block.apply(
                x_NTD, normed, block.itself.memory(normed), may_look_TT, image, seed, place
            )
        output_PD = self._last_norm(pack(x_NTD, words))
        return self.words.logits(dropout_words(output_PD, config.output_dropout, seed, 2, words))

    def _embed(self, ids: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        units = self._config.units
        return self.words.embed(ids) * units**0.5 + positions(times, units)


def positions(times: tf.Tensor, units: int) -> tf.Tensor:
    """float32 [..., units], sines and cosines of 10000^(-2i / units) t (section 3.5)."""
    rates = 10_000.0 ** (-np.arange(0, units, 2, dtype=np.float32) / units)
    angles = tf.cast(times, tf.float32)[..., tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], -1)[..., :units]
