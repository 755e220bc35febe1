"""A Transformer decoder with cross-attention to the image (Vaswani et al. 2017, arXiv:1706.03762).

    a_i    = relu(W_a v_i + b_a)                                   region i from its features
    x_t    = sqrt(D) E y_{t-1} + position(t)                       sections 3.4 and 3.5
    x_0   += W_m mean_i a_i + b_m                                  the image, added to <start>
    each layer, with the norm before each part (Xiong et al. 2020, arXiv:2002.04745):
        x += SelfAttention(norm(x)), at the words up to t
        x += CrossAttention(norm(x)), at the regions norm(a_i)
        x += W_2 relu(W_1 norm(x))                                 section 3.3
    p(y_t) = softmax(W_o norm(x_t) + b_o)

Decoding keeps the keys and values of earlier words in the state (a key-value cache).

Shape suffixes: B images, N rows (captions or beams), R regions, D width (`units`), V vocabulary,
T time, P packed words; H heads, d = D / H.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.dot_attention import DotAttention, Memory
from trainer.layers.dropout import dropout_images, dropout_regions, dropout_words
from trainer.layers.packing import PackedCaptions, pack, repeat_images, rows_by_image, unpack
from trainer.layers.words import Words
from trainer.models.captioner import TeacherForced
from trainer.replicas.stateless_random import Seed

DROPOUTS_A_LAYER = 3


class Context(NamedTuple):
    """The part of the computation that depends on the image alone."""

    start_BD: tf.Tensor  # added to the embedding of <start>
    memories: list[Memory]  # keys and values of each layer


class Block(keras.layers.Layer):
    """One layer of the decoder."""

    def __init__(self, config: ModelConfig, name: str):
        """The width is `config.units`."""
        super().__init__(name=name)
        units, heads = config.units, config.heads
        self._rate = config.layer_dropout
        self._itself = DotAttention(units, heads, units, units, "self_attention")
        self.image = DotAttention(units, heads, units, config.annotation_units, "cross_attention")
        self._wide = keras.layers.Dense(config.feed_forward_units, "relu", name="feed_forward_1")
        self._narrow = keras.layers.Dense(units, name="feed_forward_2")
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-5, name=f"norm_{i}") for i in range(3)
        ]
        for layer in (self._wide, *self._norms):
            layer.build((None, units))
        self._narrow.build((None, config.feed_forward_units))
        self.built = True

    def teacher_force(
        self, x_PD: tf.Tensor, image: Memory, words: PackedCaptions, seed: Seed | None, place: int
    ) -> tf.Tensor:
        """The layer's output for all words of a batch; `place` is its first dropout place."""

        def drop(x_PD: tf.Tensor, place: int) -> tf.Tensor:
            return dropout_words(x_PD, self._rate, seed, place, words)

        x_PD += drop(self._look_at_words(self._norms[0](x_PD), words), place)
        x_PD += drop(self._look_at_images(self._norms[1](x_PD), image, words), place + 1)
        return x_PD + drop(self._feed_forward(self._norms[2](x_PD)), place + 2)

    def step(self, x_ND: tf.Tensor, image: Memory, before: Memory) -> tuple[tf.Tensor, Memory]:
        """The layer's output for one more word of each caption, and the grown memory of words."""
        x_N1D = x_ND[:, tf.newaxis]
        normed = self._norms[0](x_N1D)
        new = self._itself.memory(normed)
        memory = Memory(*(tf.concat(pair, 2) for pair in zip(before, new, strict=True)))
        x_N1D += self._itself.attend(normed, memory)
        # The captions of an image attend to it together, so it is read once.
        x_BKD = rows_by_image(self._norms[1](x_N1D)[:, 0], tf.shape(image.keys_BHRd)[0])
        x_N1D += tf.reshape(self.image.attend(x_BKD, image), [-1, 1, x_ND.shape[1]])
        x_N1D += self._feed_forward(self._norms[2](x_N1D))
        return x_N1D[:, 0], memory

    def _look_at_words(self, x_PD: tf.Tensor, words: PackedCaptions) -> tf.Tensor:
        attention = self._itself
        parts = attention.query(x_PD), *attention.key_and_value(x_PD)
        query_NTD, *memory = [unpack(part_PD, words) for part_PD in parts]
        times_T = tf.range(tf.shape(query_NTD)[1])
        may_look_TT = times_T <= times_T[:, tf.newaxis]
        seen_NTD = attention.look(query_NTD, attention.by_heads(*memory), may_look_TT)
        return attention.output(pack(seen_NTD, words))

    def _look_at_images(self, x_PD: tf.Tensor, image: Memory, words: PackedCaptions) -> tf.Tensor:
        query_NTD = unpack(self.image.query(x_PD), words)
        # The captions of an image attend to it together.
        shape = tf.shape(query_NTD)
        together = tf.stack([tf.shape(image.keys_BHRd)[0], -1, shape[2]])
        seen_BQD = self.image.look(tf.reshape(query_NTD, together), image)
        return self.image.output(pack(tf.reshape(seen_BQD, shape), words))

    def _feed_forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._narrow(self._wide(x))


class Transformer(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its state is the keys and values of the words so
    far, one Memory a layer."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="transformer")
        units = config.units
        self._config = config
        self.words = Words(vocabulary_size, units, units, config.tied_embeddings)
        self._annotate = keras.layers.Dense(config.annotation_units, "relu", name="annotate")
        self._annotate.build((None, feature_depth))
        self._start = keras.layers.Dense(units, name="start")
        self._start.build((None, config.annotation_units))
        self._image_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="image_norm")
        self._last_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="last_norm")
        self._image_norm.build((None, config.annotation_units))
        self._last_norm.build((None, units))
        self._blocks = [Block(config, f"layer_{number}") for number in range(config.layers)]
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> Context:
        """See `Captioner`."""
        features_BRD = dropout_regions(features_BRD, self._config.region_dropout, seed)
        regions = self._annotate(features_BRD)
        regions = dropout_images(regions, self._config.annotation_dropout, seed, 0)
        normed = self._image_norm(regions)
        memories = [block.image.memory(normed) for block in self._blocks]
        return Context(self._start(tf.reduce_mean(regions, axis=1)), memories)

    def start(self, context: Context) -> list[Memory]:
        """See `Captioner`."""
        return [Memory(*(part[:, :, :0] for part in memory)) for memory in context.memories]

    def step(
        self, context: Context, state: list[Memory], token_N: tf.Tensor
    ) -> tuple[tf.Tensor, list[Memory]]:
        """See `Captioner`."""
        time = tf.shape(state[0].keys_BHRd)[2]
        x_ND = self._embed(token_N) + positions(time, self._config.units)
        start_BD = tf.where(time == 0, context.start_BD, 0.0)
        x_BKD = rows_by_image(x_ND, tf.shape(start_BD)[0]) + start_BD[:, tf.newaxis]
        x_ND = tf.reshape(x_BKD, [-1, self._config.units])
        memories = []
        for block, image, before in zip(self._blocks, context.memories, state, strict=True):
            x_ND, memory = block.step(x_ND, image, before)
            memories.append(memory)
        return self.words.logits(self._last_norm(x_ND)), memories

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        config = self._config
        context = self.encode(features_BRD, seed)
        x_PD = self._embed(words.inputs_P)
        x_PD = dropout_words(x_PD, config.embedding_dropout, seed, 1, words)
        times_T = tf.range(tf.shape(words.rows_T)[0])
        x_PD += tf.gather(positions(times_T, config.units), words.time_P)
        # Packed words are in the order of time, so the first words of all captions come first.
        rows = tf.reduce_sum(words.rows_T[:1])  # a batch without captions has no first step
        start_ND = repeat_images(context.start_BD, words)[:rows]
        x_PD += tf.pad(start_ND, [[0, tf.shape(x_PD)[0] - rows], [0, 0]])
        for number, (block, image) in enumerate(zip(self._blocks, context.memories, strict=True)):
            x_PD = block.teacher_force(x_PD, image, words, seed, 3 + DROPOUTS_A_LAYER * number)
        output_PD = dropout_words(self._last_norm(x_PD), config.output_dropout, seed, 2, words)
        return TeacherForced(self.words.logits(output_PD))

    def _embed(self, ids: tf.Tensor) -> tf.Tensor:
        return self.words.embed(ids) * self._config.units**0.5


def positions(times: tf.Tensor, units: int) -> tf.Tensor:
    """float32 [..., units], sines and cosines of 10000^(-2i / units) t (section 3.5)."""
    rates = 10_000.0 ** (-np.arange(0, units, 2, dtype=np.float32) / units)
    angles = tf.cast(times, tf.float32)[..., tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], -1)[..., :units]
