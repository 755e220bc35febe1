"""Show and Tell (Vinyals et al. 2015, arXiv:1411.4555) and its variants: the image is an RNN input.

With x the mean of the image's regions and v = W_v x + b_v, the LSTM or GRU gets the image

    first   as the input before the first word: h_0 = LSTM(v, 0)          (10) of the paper
    init    as its state before the first word: h_0, c_0 = tanh(W_s v + b_s)
    every   beside each word: h_t = LSTM([E y_{t-1}; v], h_{t-1})

    h_t    = LSTM(E y_{t-1}, h_{t-1})                                      (11)
    p(y_t) = softmax(W_o h_t + b_o)                                        (12)

The names are those of Tanti et al. 2018 (arXiv:1703.09137, section 3): pre-, init- and par-inject.

Shape suffixes: B images, N rows (captions or beams), R regions, D feature depth, C annotation
units, E embedding units, H units of the cell, V vocabulary, P packed words.
"""

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.dropout import dropout_images, dropout_regions, dropout_words
from trainer.layers.packed_rnn import RnnState
from trainer.layers.packing import PackedCaptions, repeat_images, rows_of_images
from trainer.layers.rnn_stack import make_stack, packed_stack, split_states, stack_step, zero_state
from trainer.layers.words import Words
from trainer.models.captioner import TeacherForced
from trainer.replicas.stateless_random import Seed


class Inject(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its context is the image vector."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="inject")
        self._config = config
        embedding = config.embedding_units
        # As the first input the image takes the place of a word, so it has a word's depth.
        depth = embedding if config.inject == "first" else config.annotation_units
        self.words = Words(vocabulary_size, embedding, config.units, config.tied_embeddings)
        self._image = keras.layers.Dense(depth, name="image")
        self._image.build((None, feature_depth))
        inputs = embedding + (depth if config.inject == "every" else 0)
        self._stack = make_stack(config, config.layers, inputs)
        if config.inject == "init":
            states = 2 * config.units * config.layers
            self._initial = keras.layers.Dense(states, "tanh", name="initial_state")
            self._initial.build((None, depth))
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        """See `Captioner`."""
        features_BRD = dropout_regions(features_BRD, self._config.region_dropout, seed)
        mean_BD = tf.reduce_mean(features_BRD, axis=1)
        return dropout_images(self._image(mean_BD), self._config.annotation_dropout, seed, 0)

    def start(self, context: tf.Tensor) -> list[RnnState]:
        """See `Captioner`."""
        nothing = zero_state(self._stack, tf.shape(context)[0])
        if self._config.inject == "first":
            return stack_step(self._stack, context, nothing)[1]
        if self._config.inject == "every":
            return nothing
        return split_states(self._config, self._initial(context))

    def step(
        self, context: tf.Tensor, state: list[RnnState], token_N: tf.Tensor
    ) -> tuple[tf.Tensor, list[RnnState]]:
        """See `Captioner`."""
        x = self._beside_image(
            self.words.embed(token_N), rows_of_images(context, tf.shape(token_N)[0])
        )
        h_NH, state = stack_step(self._stack, x, state)
        return self.words.logits(h_NH), state

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        config = self._config
        context = self.encode(features_BRD, seed)
        state = tf.nest.map_structure(lambda part: repeat_images(part, words), self.start(context))
        embedded_PE = self.words.embed(words.inputs_P)
        embedded_PE = dropout_words(embedded_PE, config.embedding_dropout, seed, 1, words)
        x = self._beside_image(
            embedded_PE, tf.gather(context, tf.gather(words.image_N, words.row_P))
        )
        h_PH = packed_stack(self._stack, x, state, words, config.layer_dropout, seed, place=3)
        h_PH = dropout_words(h_PH, config.output_dropout, seed, 2, words)
        return TeacherForced(self.words.logits(h_PH))

    def _beside_image(self, embedded: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
        return tf.concat([embedded, context], 1) if self._config.inject == "every" else embedded
