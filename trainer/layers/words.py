"""The word embedding, and the logits of the next word."""

import keras
import numpy as np
import tensorflow as tf


class Words(keras.layers.Layer):
    """The embedding of ids, and the output layer, which may share its weights.

    Weights are tied as in Press and Wolf 2017 (arXiv:1608.05859): the output layer's kernel is the
    transposed embedding, after a linear layer where the depths differ.
    """

    def __init__(self, vocabulary_size: int, embedding_units: int, depth: int, tied: bool):
        """Ids are in [0, vocabulary_size); logits are computed from vectors of `depth`."""
        super().__init__(name="words")
        self.embedding = self.add_weight(
            (vocabulary_size, embedding_units), "uniform", name="embedding"
        )
        self.bias = self.add_weight((vocabulary_size,), "zeros", name="logits_bias")
        self._project = self._kernel = None
        if not tied:
            self._kernel = self.add_weight(
                (depth, vocabulary_size), "glorot_uniform", name="logits_kernel"
            )
        elif depth != embedding_units:
            self._project = keras.layers.Dense(embedding_units, use_bias=False, name="to_embedding")
            self._project.build((None, depth))
        self.built = True

    def embed(self, ids: tf.Tensor) -> tf.Tensor:
        """The embeddings: int32 [...] -> float32 [..., embedding_units]."""
        return tf.gather(tf.convert_to_tensor(self.embedding), ids)

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """The logits of the next word: float [n, depth] -> float32 [n, vocabulary]."""
        if self._project is not None:
            x = self._project(x)
        if self._kernel is not None:
            logits = tf.matmul(x, self._kernel)
        else:
            logits = tf.matmul(x, self.embedding, transpose_b=True)
        return tf.nn.bias_add(logits, self.bias)

    def start_from_frequencies(self, counts: np.ndarray) -> None:
        """Sets the output bias to the log frequencies, the best guess without any input.

        Args:
          counts: int [vocabulary], the count of each id; one is added to each.
        """
        frequencies = (counts + 1.0) / (counts + 1.0).sum()
        self.bias.assign(np.log(frequencies).astype(np.float32))

    def start_from_vectors(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Sets the embeddings of some words to given vectors.

        Args:
          ids: int [n].
          vectors: float [n, embedding_units].
        """
        values = np.array(self.embedding)
        values[ids] = vectors
        self.embedding.assign(values)
