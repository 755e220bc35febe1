"""What the hand-written gradients of `trainer/layers` save: a training step with and without them.

    python benchmarks/hand_written_gradients.py [model ...]

Both steps run the same forward pass. Without them, TensorFlow differentiates it. The two take
turns, and the ratio is that of the medians. Data are drawn: 32 images of 7x7x1280 with 5 captions
of 8 to 15 words each, a vocabulary of 2,541 tokens.
"""

import statistics
import sys
import time
from unittest import mock

import numpy as np
import tensorflow as tf

from tfrecords_schema.vocabulary import END, RESERVED, START
from trainer.config import TrainConfig
from trainer.models.make_model import MODELS
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.optimizer import Update, make_optimizer

IMAGES, CAPTIONS, WORDS, VOCABULARY = 32, 5, 15, 2541
ROUNDS, STEPS = 15, 4


def make_batch() -> dict[str, tf.Tensor]:
    """A drawn batch."""
    draws = np.random.default_rng(0)
    ids = np.zeros((IMAGES, CAPTIONS, WORDS + 2), np.int32)
    for row in ids.reshape(-1, WORDS + 2):
        count = draws.integers(8, WORDS + 1)
        row[: count + 2] = [START, *draws.integers(len(RESERVED), VOCABULARY, count), END]
    features = draws.normal(size=(IMAGES, 7, 7, 1280)).astype(np.float16)
    return {"image_features": tf.constant(features), "caption_ids": tf.constant(ids)}


def make_step(name: str, is_hand_written: bool):
    """A compiled step of a new model."""
    config = TrainConfig(data="-", run="-", model=name)
    model = MODELS[name](config.model_config, VOCABULARY, 1280)
    optimizer = make_optimizer(config)
    optimizer.build(model.trainable_variables)
    updates = [Update(optimizer, model.trainable_variables)]
    step = tf.function(make_cross_entropy_step(model, updates, config).run, autograph=False)
    batch, share = make_batch(), tf.constant(0.0)

    def forward_alone(function):
        return lambda *tensors: function(*tensors)[0]

    if is_hand_written:
        step(batch, share)
    else:
        with mock.patch.object(tf, "custom_gradient", forward_alone):
            step(batch, share)
    return lambda: step(batch, share)["loss"].numpy()


def main(models: list[str]) -> None:
    """Prints a row of a table for each model."""
    print("| model | hand-written, ms | autodiff, ms | ratio |\n|---|---|---|---|")
    for name in models:
        steps = make_step(name, True), make_step(name, False)
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for step, found in zip(steps, seconds, strict=True):
                start = time.perf_counter()
                for _ in range(STEPS):
                    step()
                found.append((time.perf_counter() - start) / STEPS)
        own, other = (1000 * statistics.median(found) for found in seconds)
        print(f"| `{name}` | {own:.0f} | {other:.0f} | {own / other:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["attend", "attend_after", "merge", "inject", "transformer"])
