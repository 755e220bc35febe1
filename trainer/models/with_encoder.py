"""A captioner behind a trainable CNN: from pixels to words.

The CNN is the dataset's own, `image_encoder.keras`. It is frozen until the captioner has learned
something: before that its gradient would be noise (Vinyals et al. 2017, arXiv:1609.06647). Its
batch normalization always stays frozen, since the statistics of a small batch are worse than those
of its pretraining.
"""

from typing import Any

import keras
import tensorflow as tf

from trainer.layers.model_input import as_model_input
from trainer.layers.packing import PackedCaptions
from trainer.models.captioner import Captioner, TeacherForced
from trainer.replicas.stateless_random import Seed


class WithEncoder(keras.layers.Layer):
    """A captioner of images; see `captioner.Captioner`.

    Its features are pixels, float32 [batch, side, side, 3] in [0, 255].
    """

    def __init__(self, encoder: keras.Model, captioner: Captioner):
        """Connects `encoder` to `captioner`, which takes its features."""
        super().__init__(name="with_encoder")
        _release(encoder)
        self.encoder, self.captioner = encoder, captioner
        self.words = captioner.words
        self.built = True

    def encode(self, pixels: tf.Tensor, seed: Seed | None = None) -> Any:
        """See `Captioner`."""
        return self.captioner.encode(self.regions(pixels), seed)

    def start(self, context: Any) -> Any:
        """See `Captioner`."""
        return self.captioner.start(context)

    def step(self, context: Any, state: Any, token_N: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """See `Captioner`."""
        return self.captioner.step(context, state, token_N)

    def teacher_force(
        self, pixels: tf.Tensor, words: PackedCaptions, seed: Seed | None
    ) -> TeacherForced:
        """See `Captioner`."""
        return self.captioner.teacher_force(self.regions(pixels), words, seed)

    def regions(self, pixels: tf.Tensor) -> tf.Tensor:
        """The CNN's features of pixels: float32 [batch, regions, depth]."""
        return as_model_input(self.encoder(pixels, training=False))


def _release(model: keras.Model) -> None:
    """Unfreezes all layers but batch normalization; the pipeline saves its CNN frozen."""
    model.trainable = True
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _release(layer)
        else:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
