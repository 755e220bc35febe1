"""Attention after the recurrence: a faster variant of `attend`.

The LSTM or GRU reads the words alone, and its output attends to the image, as in the spatial
attention of Lu et al. 2017 (arXiv:1612.01887, section 2.2). Here the score is a dot product (Luong
et al. 2015, arXiv:1508.04025, section 3.1), with the gate of `attend`. The recurrence does not
depend on the image, so it is one fused call on a GPU, and all words of a batch attend to their
images at once.

    h_t    = LSTM(E y_{t-1}, h_{t-1});  h_0 from the mean annotation
    alpha  = softmax_i(k_i . (W_q h_t + b_q) / sqrt(A))
    beta   = sigmoid(w_b . h_t + b_b)
    z_t    = beta sum_i alpha_ti a_i
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))

Annotations a and keys k are those of `annotations`. With several layers the first one attends, and
the others read its output.

Shape suffixes: B images, N rows (captions or beams), R regions, D feature depth, C annotation
units, A attention units, E embedding units, H units of the cell, V vocabulary, T time, P packed
words.
"""

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.layers.annotations import Annotations, Context
from trainer.layers.dropout import dropout_words
from trainer.layers.packed_rnn import RnnState, make_rnn, packed_rnn, rnn_step
from trainer.layers.packing import PackedCaptions, pack, repeat_images, rows_by_image, unpack
from trainer.layers.rnn_stack import make_stack, packed_stack, stack_step
from trainer.layers.words import Words
from trainer.models.captioner import TeacherForced
from trainer.replicas.stateless_random import Seed


class AttendAfter(keras.layers.Layer):
    """The captioner; see `captioner.Captioner`. Its state is one RnnState a layer."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="attend_after")
        dense, units = keras.layers.Dense, config.units
        context, embedding = config.annotation_units, config.embedding_units
        self._config = config
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
        self._reader = make_rnn(config.cell, units, embedding, "reader")
        self._above = make_stack(config, config.layers - 1, embedding)
        if self._above:
            self._output_above = dense(embedding, use_bias=False, name="output_above")
            self._output_above.build((None, units))
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
        read = rnn_step(self._reader, embedded_NE, state[0])
        # The captions of an image attend to it together, so it is read once.
        query_BKA = rows_by_image(self._query(read.h_NH), tf.shape(context.keys_BRA)[0])
        z_BKC, _ = self._attend(query_BKA, context)
        z = tf.reshape(z_BKC, [-1, z_BKC.shape[2]])
        output_NE = self._deep_output(embedded_NE, read.h_NH, z)
        above: list[RnnState] = []
        if self._above:
            h_NH, above = stack_step(self._above, output_NE, state[1:])
            output_NE += self._output_above(h_NH)
        return self.words.logits(output_NE), [read, *above]

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        config = self._config
        context = self.encode(features_BRD, seed)
        state = tf.nest.map_structure(lambda part: repeat_images(part, words), self.start(context))
        embedded_PE = self.words.embed(words.inputs_P)
        embedded_PE = dropout_words(embedded_PE, config.embedding_dropout, seed, 1, words)
        h_PH = packed_rnn(self._reader, embedded_PE, state[0], words)
        # The captions of an image attend to it together.
        query_NTA = unpack(self._query(h_PH), words)
        images, shape = tf.shape(features_BRD)[0], tf.shape(query_NTA)
        query_BQA = tf.reshape(query_NTA, tf.stack([images, -1, shape[2]]))
        z, alpha_PR = (
            pack(tf.reshape(x, [shape[0], shape[1], x.shape[2]]), words)
            for x in self._attend(query_BQA, context)
        )
        output_PE = self._deep_output(embedded_PE, h_PH, z)
        if self._above:
            x = dropout_words(output_PE, config.layer_dropout, seed, 3, words)
            h_PH = packed_stack(
                self._above, x, state[1:], words, config.layer_dropout, seed, place=3
            )
            output_PE += self._output_above(h_PH)
        output_PE = dropout_words(output_PE, config.output_dropout, seed, 2, words)
        seen_NR = tf.math.unsorted_segment_sum(alpha_PR, words.row_P, shape[0])
        return TeacherForced(self.words.logits(output_PE), seen_NR)

    def _attend(self, query_BQA: tf.Tensor, context: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """The gated context of Q queries of each image, float32 [B, Q, C], and their attention
        weights [B, Q, R]. The last number of a query is its gate."""
        attention = self._config.attention_units
        query_BQA, gate_BQ1 = tf.split(query_BQA, [attention, 1], axis=2)
        scores_BQR = tf.matmul(query_BQA, context.keys_BRA * attention**-0.5, transpose_b=True)
        alpha_BQR = tf.nn.softmax(scores_BQR)
        return tf.sigmoid(gate_BQ1) * tf.matmul(alpha_BQR, context.annotations_BRC), alpha_BQR

    def _deep_output(self, embedded: tf.Tensor, h: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        return embedded + self._output_h(h) + self._output_z(z)
