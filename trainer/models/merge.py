"""The merge architecture (Tanti, Gatt and Camilleri 2018, arXiv:1703.09137, section 3).

The image is not an input of the recurrence: an LSTM or GRU reads the words, and its output is
joined with the image just before the softmax. The Keras tutorials have this captioner too. With x
the mean of the image's regions:

    v      = relu(W_v x + b_v)
    h_t    = LSTM(E y_{t-1}, h_{t-1});  h_0 = 0
    m_t    = v + h_t, or [v; h_t]               `join`
    p(y_t) = softmax(W_o relu(W_m m_t + b_m) + b_o)

The tutorials train it on prefixes, each with one next word. Here a caption is one sequence, which
has the same sum of losses for a fraction of the computation.

Shape suffixes: B images, N rows (captions or beams), R regions, D feature depth, C annotation
units, E embedding units, H units of the cell, V vocabulary, P packed words.
"""

import keras
import tensorflow as tf

from tfrecords_schema.errors import InputError
from trainer.config import ModelConfig
from trainer.layers.dropout import dropout_images, dropout_regions, dropout_words
from trainer.layers.packed_rnn import RnnState
from trainer.layers.packing import PackedCaptions, rows_of_images
from trainer.layers.rnn_stack import make_stack, packed_stack, stack_step, zero_state
from trainer.layers.words import Words
from trainer.models.captioner import TeacherForced
from trainer.replicas.stateless_random import Seed


class Merge(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its context is the image vector [B, C]."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="merge")
        if config.join == "add" and config.annotation_units != config.units:
            raise InputError(
                f"--annotation_units={config.annotation_units} must be --units={config.units}, "
                "or they cannot be added; or give --join=concat"
            )
        self._config = config
        self.words = Words(
            vocabulary_size, config.embedding_units, config.units, config.tied_embeddings
        )
        self._image = keras.layers.Dense(config.annotation_units, "relu", name="image")
        self._image.build((None, feature_depth))
        self._stack = make_stack(config, config.layers, config.embedding_units)
        joined = config.units + (config.annotation_units if config.join == "concat" else 0)
        self._joined = keras.layers.Dense(config.units, "relu", name="joined")
        self._joined.build((None, joined))
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        """See `Captioner`."""
        features_BRD = dropout_regions(features_BRD, self._config.region_dropout, seed)
        mean_BD = tf.reduce_mean(features_BRD, axis=1)
        return self._image(dropout_images(mean_BD, self._config.annotation_dropout, seed, 0))

    def start(self, context: tf.Tensor) -> list[RnnState]:
        """See `Captioner`."""
        return zero_state(self._stack, tf.shape(context)[0])

    def step(
        self, context: tf.Tensor, state: list[RnnState], token_N: tf.Tensor
    ) -> tuple[tf.Tensor, list[RnnState]]:
        """See `Captioner`."""
        h_NH, state = stack_step(self._stack, self.words.embed(token_N), state)
        context_NC = rows_of_images(context, tf.shape(h_NH)[0])
        return self.words.logits(self._join(context_NC, h_NH)), state

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        config = self._config
        context_BC = self.encode(features_BRD, seed)
        embedded_PE = self.words.embed(words.inputs_P)
        embedded_PE = dropout_words(embedded_PE, config.embedding_dropout, seed, 1, words)
        state = zero_state(self._stack, tf.shape(words.caption_N)[0])
        h_PH = packed_stack(
            self._stack, embedded_PE, state, words, config.layer_dropout, seed, place=3
        )
        context_PC = tf.gather(context_BC, tf.gather(words.image_N, words.row_P))
        output_PH = self._join(context_PC, h_PH)
        output_PH = dropout_words(output_PH, config.output_dropout, seed, 2, words)
        return TeacherForced(self.words.logits(output_PH))

    def _join(self, context: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
        is_sum = self._config.join == "add"
        return self._joined(context + h if is_sum else tf.concat([context, h], 1))
