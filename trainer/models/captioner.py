"""The interface of all captioners.

Shape suffixes: B images, N rows (captions), R regions, D feature depth, P packed words,
V vocabulary.
"""

from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from trainer.layers.packing import PackedCaptions
from trainer.layers.words import Words
from trainer.replicas.stateless_random import Seed


class TeacherForced(NamedTuple):
    """A model's predictions of captions under teacher forcing: given the words before each word."""

    logits_PV: tf.Tensor  # float32
    seen_NR: tf.Tensor | None = None  # sum_t alpha_tr of each row, if the model has one alpha


class Captioner(Protocol):
    """A model from features to words. Context and state are nests of tensors.

    The constructor makes all variables.
    """

    trainable_variables: list
    weights: list
    words: Words

    def count_params(self) -> int:
        """The number of weights."""

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> Any:
        """The context, which depends on the image alone, a row an image; `seed` is for dropout."""

    def start(self, context: Any) -> Any:
        """The state before the first word, a row an image."""

    def step(self, context: Any, state: Any, token_N: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Predicts one word: float32 logits_NV and the next state.

        Args:
          context: the result of `encode`.
          state: the state before the word. All images have equally many rows, in image order.
          token_N: int32, the previous word; <start> at first.
        """

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """The logits of every word of every caption, given the words before it.

        Args:
          features_BRD: float32.
          words: the packed captions of these images.
          seed: seed of the dropout; None turns it off.
        """
