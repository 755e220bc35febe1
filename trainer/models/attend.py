"""Show, Attend and Tell with soft attention (Xu et al. 2015, arXiv:1502.03044).

Before each word an LSTM or GRU attends to the image: it reads a weighted mean of the regions, and
then writes the word. Equations are the paper's:

    a_i    = relu(W_a x_i + b_a)                      annotation of region i from its features
    e_ti   = v . tanh(W_k a_i + W_q h_{t-1})          additive attention (Bahdanau et al. 2015)
    alpha  = softmax(e_t)                             (5)
    beta   = sigmoid(w_b . h_{t-1} + b_b)             gate, section 4.2.1
    z_t    = beta sum_i alpha_ti a_i                  (13)
    h_t    = LSTM(E y_{t-1}, z_t, h_{t-1})            (1)-(3)
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))   (7)

The second term of (14), doubly stochastic attention, is in `objectives.cross_entropy`.

Annotations and keys are those of `annotations`. With several layers only the last one attends; the
others run over the words alone.

Shape suffixes: B images, N rows (captions or beams), R regions, D feature depth, C annotation
units, A attention units, E embedding units, H units of the cell, V vocabulary, P packed words.
"""

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.annotations import Annotations, Context
from trainer.layers.attention_rnn import Weights, attention_rnn, attention_step
from trainer.layers.cells import CELLS
from trainer.layers.dropout import dropout_weights, dropout_words
from trainer.layers.packed_rnn import (
    RnnState,
    input_weights,
    linear,
    make_rnn,
    state_weights,
)
from trainer.layers.packing import PackedCaptions, repeat_images, rows_by_image
from trainer.layers.rnn_stack import make_stack, packed_stack, stack_step
from trainer.layers.words import Words
from trainer.models.captioner import TeacherForced
from trainer.replicas.stateless_random import Seed


class Attend(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its state is one RnnState a layer."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="attend")
        dense, units = keras.layers.Dense, config.units
        context, embedding = config.annotation_units, config.embedding_units
        self._config, self._cell = config, CELLS[config.cell]
        self.words = Words(vocabulary_size, embedding, embedding, config.tied_embeddings)
        self._annotations = Annotations(config, feature_depth)
        self._query = dense(config.attention_units + 1, name="query_and_gate")
        self._output_h = dense(embedding, name="output_h")
        self._output_z = dense(embedding, use_bias=False, name="output_z")
        for layer, depth in (
            (self._query, units),
            (self._output_h, units),
            (self._output_z, context),
        ):
            layer.build((None, depth))
        self._score = self.add_weight((config.attention_units,), "lecun_normal", name="score")
        self._below = make_stack(config, config.layers - 1, embedding)
        self._input_depth = units if self._below else embedding
        self._rnn = make_rnn(config.cell, units, self._input_depth + context, "attending_rnn")
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> Context:
        """See `Captioner`."""
        return self._annotations.encode(features_BRD, seed)

    def start(self, context: Context) -> list[RnnState]:
        """See `Captioner`."""
        return self._annotations.start(context)

    def step(
        self, context: Context, state: list[RnnState], token_N: tf.Tensor
    ) -> tuple[tf.Tensor, list[RnnState]]:
        """See `Captioner`."""
        embedded_NE = self.words.embed(token_N)
        x, below = stack_step(self._below, embedded_NE, state[:-1])
        of_words, weights = self._split_weights(None)

        # The captions of an image attend to it together, as in training, so it is read once.
        images, depth = tf.shape(context.keys_BRA)[0], context.annotations_BRC.shape[2]

        def look(query_NA: tf.Tensor) -> tf.Tensor:
            query_BK1A = rows_by_image(query_NA, images)[:, :, tf.newaxis]
            looked_BKRA = context.keys_BRA[:, tf.newaxis] + query_BK1A
            return tf.reshape(looked_BKRA, [-1, *context.keys_BRA.shape[1:]])

        def weigh(alpha_NR: tf.Tensor) -> tf.Tensor:
            alpha_BKR = rows_by_image(alpha_NR, images)
            return tf.reshape(tf.matmul(alpha_BKR, context.annotations_BRC), [-1, depth])

        step = attention_step(self._cell, look, weigh, *state[-1], linear(x, *of_words), weights)
        logits_NV = self.words.logits(self._deep_output(embedded_NE, step.h_nH, step.z_nC))
        return logits_NV, [*below, RnnState(step.h_nH, step.memory_nH)]

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        config = self._config
        context = self.encode(features_BRD, seed)
        state, keys_NRA = tf.nest.map_structure(
            lambda part: repeat_images(part, words), (self.start(context), context.keys_BRA)
        )
        embedded_PE = self.words.embed(words.inputs_P)
        embedded_PE = dropout_words(embedded_PE, config.embedding_dropout, seed, 1, words)
        x = embedded_PE
        if self._below:
            x = packed_stack(self._below, x, state[:-1], words, config.layer_dropout, seed, place=4)
            x = dropout_words(x, config.layer_dropout, seed, 3, words)
        of_words, weights = self._split_weights(seed)
        h_PH, z_PC, seen_NR = attention_rnn(
            self._cell, context.annotations_BRC, keys_NRA, state[-1].h_NH,
            state[-1].memory_NH, linear(x, *of_words), words, weights,
        )  # fmt: skip
        output_PE = self._deep_output(embedded_PE, h_PH, z_PC)
        output_PE = dropout_words(output_PE, config.output_dropout, seed, 2, words)
        return TeacherForced(self.words.logits(output_PE), seen_NR)

    def _split_weights(self, seed: Seed | None) -> tuple[tuple[tf.Tensor, tf.Tensor], Weights]:
        """Kernel and bias from the words to the cell's gates, and the weights of the recurrence."""
        kernel_IG, bias_G = input_weights(self._rnn)
        of_words, of_context = tf.split(
            kernel_IG, [self._input_depth, self._config.annotation_units]
        )
        of_state_HG, state_bias_G = state_weights(self._rnn)
        of_state_HG = dropout_weights(of_state_HG, self._config.recurrent_dropout, seed, 4)
        weights = Weights(
            tf.concat([of_state_HG, self._query.kernel], 1),
            tf.concat([state_bias_G, self._query.bias], 0),
            tf.convert_to_tensor(self._score),
            of_context,
        )
        return (of_words, bias_G), weights

    def _deep_output(self, embedded: tf.Tensor, h: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        return embedded + self._output_h(h) + self._output_z(z)
