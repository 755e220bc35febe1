"""A training step of `attend` beside the same captioner written plainly, in one run.

    .venv/bin/python benchmarks/attend_step.py DATA

The plain one is what a tutorial on Show, Attend and Tell writes: a loop over the padded length, one
`LSTMCell` call a word, attention over the raw 1280-wide grid, automatic differentiation. Same
batches (32 images with 5 captions), LSTM 512, embedding 256, attention 256, Adam with clipping.
The two take turns, so that the machine's drift falls on both; medians and their ratio are printed.
"""

import statistics
import sys
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow()

import keras
import tensorflow as tf

from tfrecords_schema.manifest import read_manifest
from trainer.config import ModelConfig, TrainConfig
from trainer.dataset import train_dataset
from trainer.model_input import as_model_input
from trainer.models.attend import Attend
from trainer.step import ClippedAdam, Update, make_cross_entropy_step, make_train_step

ROUNDS, BATCHES = 12, 6


class PlainAttend(keras.layers.Layer):
    def __init__(self, vocabulary_size):
        super().__init__()
        dense = keras.layers.Dense
        self.key, self.query, self.score = dense(256), dense(256), dense(1)
        self.gate, self.initial = dense(1, "sigmoid"), dense(1024, "tanh")
        self.embedding = keras.layers.Embedding(vocabulary_size, 256)
        self.cell, self.logits = keras.layers.LSTMCell(512), dense(vocabulary_size)
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, regions, ids):
        captions = ids.shape[1]
        regions = tf.repeat(regions, captions, axis=0)
        ids = tf.reshape(ids, [-1, ids.shape[2]])
        keys = self.key(regions)
        h, c = tf.split(self.initial(tf.reduce_mean(regions, 1)), 2, -1)
        outputs = []
        for t in range(ids.shape[1] - 1):
            alpha = tf.nn.softmax(self.score(tf.tanh(keys + self.query(h)[:, None])), axis=1)
            context = self.gate(h) * tf.reduce_sum(alpha * regions, 1)
            h, (h, c) = self.cell(tf.concat([self.embedding(ids[:, t]), context], -1), [h, c])
            outputs.append(self.logits(self.dropout(h, training=True)))
        return tf.stack(outputs, 1), ids[:, 1:]


def plain_step(model, optimizer):
    @tf.function(reduce_retracing=False)
    def step(batch, _):
        with tf.GradientTape() as tape:
            logits, labels = model(as_model_input(batch["image_features"]), batch["caption_ids"])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            mask = tf.cast(labels > 0, tf.float32)
            loss = tf.reduce_sum(losses * mask) / tf.reduce_sum(mask)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), 5.0)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step


def main():
    data = sys.argv[1]
    manifest = read_manifest(data)
    context = tf.distribute.InputContext(1, 0, 1)
    parts = train_dataset(data, manifest, 32, 0, 0, context).take(BATCHES)
    names = ("image_features", "caption_ids")
    batches = [{name: part[name][0] for name in names} for part in parts]

    plain = PlainAttend(manifest.vocabulary_size)
    plain(as_model_input(batches[0]["image_features"]), batches[0]["caption_ids"])
    adam = keras.optimizers.Adam(1e-3)
    adam.build(plain.trainable_variables)

    depth = manifest.encoder.feature_shape[-1]
    packed, average = (Attend(ModelConfig(), manifest.vocabulary_size, depth) for _ in range(2))
    clipped = ClippedAdam(1e-3, 5.0)
    clipped.build(packed.trainable_variables)
    config = TrainConfig(data=data, run="-")
    steps = {
        "plain": plain_step(plain, adam),
        "attend": make_train_step(
            make_cross_entropy_step(packed, [Update(clipped, packed.trainable_variables)], config),
            packed,
            average,
            clipped,
            tf.distribute.get_strategy(),
            config.average_decay,
        ),
    }
    times = {name: [] for name in steps}
    for round_number in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            for batch in batches:
                tf.nest.map_structure(lambda x: x.numpy(), step(batch, tf.constant(0.0)))
            if round_number:  # the first traces
                times[name].append((time.perf_counter() - start) / BATCHES)
    for name, values in times.items():
        print(
            f"{name:<8} {statistics.median(values) * 1e3:7.0f} ms a step of 160 captions "
            f"(min {min(values) * 1e3:.0f}, max {max(values) * 1e3:.0f})"
        )
    ratios = [p / a for p, a in zip(times["plain"], times["attend"], strict=True)]
    print(f"plain / attend, round by round: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
