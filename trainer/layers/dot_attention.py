"""Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    head_h = softmax(Q W_Q^h (K W_K^h)^T / sqrt(D_h)) K W_V^h;   output = W_O [head_1; ...]

Shape suffixes: B batch, Q queries, R vectors attended to, I depth of the input vectors, D width,
H heads, d = D / H.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from tfrecords_schema.errors import InputError


class Memory(NamedTuple):
    """The keys and values of the vectors attended to, split by head."""

    keys_BHRd: tf.Tensor
    values_BHRd: tf.Tensor


class DotAttention(keras.layers.Layer):
    """Attention whose queries and memory may have different depths."""

    def __init__(self, units: int, heads: int, query_depth: int, memory_depth: int, name: str):
        """`units` is the width of all heads together."""
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
        """The keys and values of float32 [B, R, memory_depth]."""
        return self.by_heads(*self.key_and_value(x_BRI))

    def attend(self, x_BQI: tf.Tensor, memory: Memory) -> tf.Tensor:
        """The attention output of [B, Q, query_depth]: [B, Q, units]; see `look`."""
        return self.output(self.look(self.query(x_BQI), memory))

    def query(self, x: tf.Tensor) -> tf.Tensor:
        """The queries of all heads: [..., query_depth] -> [..., units]."""
        return self._query(x)

    def key_and_value(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The keys and values of all heads: [..., memory_depth] -> two of [..., units]."""
        return self._key(x), self._value(x)

    def by_heads(self, key_BRD: tf.Tensor, value_BRD: tf.Tensor) -> Memory:
        """The memory of keys and values, each [B, R, units], split by head."""
        return Memory(self._split(key_BRD), self._split(value_BRD))

    def look(
        self, query_BQD: tf.Tensor, memory: Memory, may_look: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The attention-weighted values of all heads.

        Args:
          query_BQD: the result of `query`.
          memory: the keys and values attended to.
          may_look: bool mask that broadcasts to [B, 1, Q, R]; None masks nothing.

        Returns:
          [B, Q, units].
        """
        query_BHQd = self._split(query_BQD * (self._units // self._heads) ** -0.5)
        scores_BHQR = tf.matmul(query_BHQd, memory.keys_BHRd, transpose_b=True)
        if may_look is not None:
            scores_BHQR = tf.where(may_look, scores_BHQR, -1e9)
        seen_BHQd = tf.matmul(tf.nn.softmax(scores_BHQR), memory.values_BHRd)
        return tf.reshape(tf.transpose(seen_BHQd, [0, 2, 1, 3]), tf.shape(query_BQD))

    def output(self, seen: tf.Tensor) -> tf.Tensor:
        """The output projection: [..., units] -> [..., units]."""
        return self._output(seen)

    def _split(self, x_BRD: tf.Tensor) -> tf.Tensor:
        rows, columns = tf.unstack(tf.shape(x_BRD)[:2])
        shape = tf.stack([rows, columns, self._heads, self._units // self._heads])
        return tf.transpose(tf.reshape(x_BRD, shape), [0, 2, 1, 3])
