"""Show, Attend and Tell with soft attention (Xu et al. 2015, arXiv:1502.03044).

An LSTM writes a caption word by word and looks, before each word, at a weighted mean of the image's
regions. Equations are the paper's:

    a_i    = relu(W_a x_i + b_a)                      annotation of region i from its features
    e_ti   = v . tanh(W_k a_i + W_q h_{t-1})          additive attention (Bahdanau et al. 2015)
    alpha  = softmax(e_t)                             (5)
    beta   = sigmoid(w_b . h_{t-1} + b_b)             gate, section 4.2.1
    z_t    = beta sum_i alpha_ti a_i                  (13)
    h_t    = LSTM(E y_{t-1}, z_t, h_{t-1})            (1)-(3)
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))   (7)

The annotations are projected once an image to `annotation_units`, which the paper does not do: the
recurrence, where nearly all the time goes, then works on 512 numbers a region instead of 1280.
Pooled features are a grid of one region.

Training runs on packed sequences. Captions are sorted by length, longest first; at step t only the
first n_t rows, those still running, are computed, and everything that needs no recurrence (word
embeddings, output layer, loss) works on the P = sum of n_t words of the batch. No padding is ever
multiplied.

Shape suffixes: B images, N rows (captions or beams), R regions, D feature depth, C annotation
units, A attention units, E embedding units, H LSTM units, V vocabulary, T time, P packed words.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.config import ModelConfig
from trainer.models.attention_lstm import Weights, attention_lstm, attention_lstm_step

DROPOUTS = 3  # places in the model; each adds its number to the seed


class Context(NamedTuple):
    """What depends on the image alone."""

    annotations_BRC: tf.Tensor
    keys_BRA: tf.Tensor


class State(NamedTuple):
    """The LSTM's state."""

    h_NH: tf.Tensor
    c_NH: tf.Tensor


class PackedWords(NamedTuple):
    """The output of teacher forcing: one row a word that is to be predicted."""

    logits_PV: tf.Tensor
    labels_P: tf.Tensor


class Attend(keras.layers.Layer):
    """The captioner: regions to words. All variables are made by the constructor."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, feature_depth: int):
        """A captioner for features [regions, feature_depth] and ids in [0, vocabulary_size)."""
        super().__init__(name="attend")
        dense, units = keras.layers.Dense, config.lstm_units
        context, embedding = config.annotation_units, config.embedding_units
        self._config = config
        self._annotate = dense(context, "relu", name="annotate")
        self._key = dense(config.attention_units, use_bias=False, name="key")
        self._query = dense(config.attention_units + 1, name="query_and_gate")
        self._initial = dense(2 * units, "tanh", name="initial_state")
        self._embedding = keras.layers.Embedding(vocabulary_size, embedding, name="embedding")
        self._input = dense(4 * units, name="lstm_input")
        self._output_h = dense(embedding, name="output_h")
        self._output_z = dense(embedding, use_bias=False, name="output_z")
        self._logits = dense(vocabulary_size, name="logits")
        for layer, depth in (
            (self._annotate, feature_depth),
            (self._key, context),
            (self._query, units),
            (self._initial, context),
            (self._embedding, None),
            (self._input, embedding),
            (self._output_h, units),
            (self._output_z, context),
            (self._logits, embedding),
        ):
            layer.build((None, depth))
        self._score = self.add_weight((config.attention_units,), "lecun_normal", name="score")
        self._recurrent = self.add_weight(
            (context + units, 4 * units), "glorot_uniform", name="lstm_recurrent"
        )
        self.built = True

    def encode(self, features_BRD: tf.Tensor, seed: tf.Tensor | None = None) -> Context:
        """Computes what depends on the image alone; `seed`, int32 [2], turns dropout on."""
        annotations_BRC = self._annotate(features_BRD)
        annotations_BRC = dropout(annotations_BRC, self._config.annotation_dropout, seed, 0)
        return Context(annotations_BRC, self._key(annotations_BRC))

    def start(self, context: Context) -> State:
        """The state before the first word, one row an image (section 3.1.2)."""
        mean_BC = tf.reduce_mean(context.annotations_BRC, axis=1)
        h_BH, c_BH = tf.split(self._initial(mean_BC), 2, axis=-1)
        return State(h_BH, c_BH)

    def step(self, context: Context, state: State, token_N: tf.Tensor) -> tuple[tf.Tensor, State]:
        """One word: logits_NV and the next state; row n of `context` belongs to row n of `state`.

        Args:
          context: one row a row of the state.
          state: before the word.
          token_N: int32, the word before; <start> at first.
        """
        embedded_NE = self._embedding(token_N)
        step = attention_lstm_step(*context, *state, self._input(embedded_NE), self._weights())
        logits_NV = self._logits(self._deep_output(embedded_NE, step.h_nH, step.z_nC))
        return logits_NV, State(step.h_nH, step.c_nH)

    def teacher_force(
        self, features_BRD: tf.Tensor, caption_ids_BKT: tf.Tensor, seed: tf.Tensor | None
    ) -> PackedWords:
        """Logits and labels of every word of every caption, given the words before it.

        Args:
          features_BRD: float32.
          caption_ids_BKT: int32, K captions an image, each <start> ... <end> and 0 after it; a
            row of zeros is no caption.
          seed: int32 [2] for dropout; None turns dropout off.
        """
        captions_per_image = tf.shape(caption_ids_BKT)[1]
        ids_NT = tf.reshape(caption_ids_BKT, [-1, tf.shape(caption_ids_BKT)[2]])
        words_N = tf.maximum(tf.math.count_nonzero(ids_NT, axis=1, dtype=tf.int32) - 1, 0)
        order_N = tf.argsort(words_N, direction="DESCENDING", stable=True)
        ids_NT, words_N = tf.gather(ids_NT, order_N), tf.gather(words_N, order_N)

        running_TN = tf.range(tf.shape(ids_NT)[1] - 1)[:, None] < words_N[None, :]
        rows_T = tf.reduce_sum(tf.cast(running_TN, tf.int32), axis=1)
        rows_T = rows_T[: tf.reduce_max(words_N)]  # padding to the batch's length has no rows
        inputs_P = tf.boolean_mask(tf.transpose(ids_NT[:, :-1]), running_TN)
        labels_P = tf.boolean_mask(tf.transpose(ids_NT[:, 1:]), running_TN)

        context = self.encode(features_BRD, seed)
        image_N = order_N // captions_per_image
        state = State(*(tf.gather(part, image_N) for part in self.start(context)))
        context = Context(*(tf.gather(part, image_N) for part in context))
        embedded_PE = self._embedding(inputs_P)
        embedded_PE = dropout(embedded_PE, self._config.embedding_dropout, seed, 1)
        h_PH, z_PC = attention_lstm(
            *context,
            *state,
            self._input(embedded_PE),
            rows_T,
            *map(tf.convert_to_tensor, self._weights()),
        )
        output_PE = self._deep_output(embedded_PE, h_PH, z_PC)
        output_PE = dropout(output_PE, self._config.output_dropout, seed, 2)
        return PackedWords(self._logits(output_PE), labels_P)

    def _weights(self) -> Weights:
        query = self._query
        return Weights(query.kernel, query.bias, self._score, self._recurrent)

    def _deep_output(self, embedded: tf.Tensor, h: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        return embedded + self._output_h(h) + self._output_z(z)


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None, layer: int) -> tf.Tensor:
    """Dropout that depends on the seed alone, so that a resumed run draws the same masks."""
    if seed is None or rate == 0:
        return x
    return tf.nn.experimental.stateless_dropout(x, rate, seed + [0, layer])
