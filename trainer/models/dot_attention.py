"""Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    head_h = softmax(Q W_Q^h (K W_K^h)^T / sqrt(D_h)) K W_V^h;   output = W_O [head_1; ...]

Shape suffixes: B batch, Q queries, R what is looked at, I depth of the queries, D width, h heads,
d = D / h.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from tfrecords_schema.errors import InputError


class Memory(NamedTuple):
    """What is looked at."""

    keys_BRD: tf.Tensor
    values_BRD: tf.Tensor


class DotAttention(keras.layers.Layer):
    """Attention from vectors of one depth to those of another."""

    def __init__(self, units: int, heads: int, query_depth: int, memory_depth: int, name: str):
        """`units` wide, in all heads together."""
        super().__init__(name=name)
        if units % heads:
            raise InputError(f"--heads={heads} must divide the width, {units}")
        self._units, self._heads = units, heads
        self._query, self._key, self._value, self._output = (
            keras.layers.Dense(units, name=name) for name in ("query", "key", "value", "output")
        )
        self._query.build((None, query_depth))
        self._key.build((None, memory_depth))
        self._value.build((None, memory_depth))
        self._output.build((None, units))
        self.built = True

    def memory(self, x_BRI: tf.Tensor) -> Memory:
        """What these vectors are when they are looked at."""
        return Memory(self._key(x_BRI), self._value(x_BRI))

    def attend(
        self, x_BQI: tf.Tensor, memory: Memory, may_look: tf.Tensor | None = None
    ) -> tf.Tensor:
        """What vectors see: [B, Q, query_depth] -> [B, Q, units]; see `look`."""
        return self.output(self.look(self.query(x_BQI), memory, may_look))

    def query(self, x: tf.Tensor) -> tf.Tensor:
        """Who looks: [..., query_depth] -> [..., units]."""
        return self._query(x)

    def look(
        self, query_BQD: tf.Tensor, memory: Memory, may_look: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The weighted values of all heads.

        Args:
          query_BQD: of `query`.
          memory: at what it looks.
          may_look: bool, to be broadcast to [B, 1, Q, R]; None: at everything.

        Returns:
          [B, Q, units].
        """
        depth = self._units // self._heads

        def split(x: tf.Tensor) -> tf.Tensor:
            return tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], self._heads, depth])

        scores = tf.einsum(
            "bqhd,brhd->bhqr", split(query_BQD * depth**-0.5), split(memory.keys_BRD)
        )
        if may_look is not None:
            scores = tf.where(may_look, scores, -1e9)
        seen = tf.einsum("bhqr,brhd->bqhd", tf.nn.softmax(scores), split(memory.values_BRD))
        return tf.reshape(seen, [tf.shape(seen)[0], tf.shape(seen)[1], self._units])

    def output(self, seen: tf.Tensor) -> tf.Tensor:
        """What follows from what was seen: [..., units] -> [..., units]."""
        return self._output(seen)
