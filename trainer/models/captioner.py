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
    """What a model makes of captions, given the words before each word."""

    logits_PV: tf.Tensor  # float32
    seen_NR: tf.Tensor | None = None  # sum_t alpha_tr of each row, where a model has one alpha


class Captioner(Protocol):
    """Features to words. Context and state are nests of tensors.

    All variables are made by the constructor.
    """

    trainable_variables: list
    weights: list
    words: Words

    def count_params(self) -> int:
        """Numbers that are learned."""

    def encode(self, features_BRD: tf.Tensor, seed: Seed | None = None) -> Any:
        """What depends on the image alone, one row an image; `seed` turns dropout on."""

    def start(self, context: Any) -> Any:
        """The state before the first word, one row an image."""

    def step(self, context: Any, state: Any, token_N: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """One word: float32 logits_NV and the next state.

        Args:
          context: of `encode`.
          state: before the word. Each image has as many rows as any other, and they are neighbours.
          token_N: int32, the word before; <start> at first.
        """

    def teacher_force(
        self, features_BRD: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """The logits of every word of every caption, given the words before it.

        Args:
          features_BRD: float32.
          words: of the captions of these images.
          seed: for dropout; None turns dropout off.
        """
