"""XLA on the parts of a training step of `attend` whose shapes a batch does not change.

    .venv/bin/python benchmarks/jit_compile.py [RUN]

A whole step cannot be compiled with profit: XLA compiles for fixed shapes, and the number of words
is another one in nearly every batch. What could be: the elementwise middle of one step of the
recurrence (128 rows, 49 regions, 256 units), forward and backward, and the update of the weights.
With a trained RUN also self-critical steps from its weights on its data, without and with
`--jit_compile`. Milliseconds, median of rounds that take turns.
"""

import dataclasses
import itertools
import statistics
import sys
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import keras
import numpy as np
import tensorflow as tf

from trainer.config import TrainConfig
from trainer.data.batches import train_dataset
from trainer.data.epoch_plan import plan_epoch
from trainer.models.with_encoder import WithEncoder
from trainer.objectives.cider_reward import read_reward
from trainer.objectives.self_critical import make_self_critical_step
from trainer.optimizer import Update, make_optimizer
from trainer.precision import set_precision
from trainer.step import make_train_step
from trainer.trained_run import load_run

ROUNDS, CALLS = 9, 10
ROWS, REGIONS, UNITS = 128, 49, 256
WEIGHTS = [(2536, 256), (256, 2536), (1280, 512), (512, 1024), (768, 2048), (512, 2048)]


def scores(keys, query, score):
    tanh = tf.tanh(keys + query[:, None])
    return tf.matmul(tf.reshape(tanh, [-1, UNITS]), score[:, None]), tanh


def fused_scores(keys, query, score):
    tanh = tf.tanh(keys + query[:, None])
    return tf.reduce_sum(tanh * score, -1), tanh


def gradient(tanh, dscores, score, dkeys):
    flat = tf.reshape(dscores, [1, -1])
    dtanh = tf.reshape(tf.matmul(flat, score[None], transpose_a=True), tanh.shape)
    dpre = tf.raw_ops.TanhGrad(y=tanh, dy=dtanh)
    dscore = tf.matmul(flat, tf.reshape(tanh, [-1, UNITS]))
    return dscore, tf.reduce_sum(dpre, 1), dkeys + dpre


def fused_gradient(tanh, dscores, score, dkeys):
    dpre = dscores[:, :, None] * score * (1 - tanh * tanh)
    dscore = tf.reduce_sum(dscores[:, :, None] * tanh, [0, 1])
    return dscore, tf.reduce_sum(dpre, 1), dkeys + dpre


def updates():
    """The update as the trainer has it, and Adam with clipping written for XLA."""
    rng = np.random.default_rng(0)
    weights = [keras.Variable(rng.standard_normal(shape, np.float32)) for shape in WEIGHTS]
    gradients = [tf.random.normal(shape) for shape in WEIGHTS]
    optimizer = make_optimizer(TrainConfig(data="-", run="-"))
    optimizer.build(weights)
    means, squares = ([tf.Variable(tf.zeros(shape)) for shape in WEIGHTS] for _ in range(2))

    def plain(gradients):
        optimizer.apply(gradients, weights)
        return [weight.value[0] for weight in weights]

    def fused(gradients):
        clipped, _ = tf.clip_by_global_norm(gradients, 5.0)
        for weight, mean, square, g in zip(weights, means, squares, clipped, strict=True):
            mean.assign_add(0.1 * (g - mean))
            square.assign_add(0.001 * (g * g - square))
            weight.value.assign_sub(1e-3 * mean / (tf.sqrt(square) + 1e-7))
        return [weight.value[0] for weight in weights]

    return plain, fused, [gradients]


def self_critical_step(run, jit_compile):
    """A function that makes a step; all steps are from the same weights."""
    trained = load_run(run)
    set_precision(trained.config.precision)
    config = dataclasses.replace(
        trained.config, objective="self_critical", initial_run=run, learning_rate=1e-30,
        jit_compile=jit_compile,
    )  # fmt: skip
    model, dataset = trained.model, trained.dataset
    optimizer = make_optimizer(config)
    learning = model.captioner if isinstance(model, WithEncoder) else model
    optimizer.build(learning.trainable_variables)
    updates = [Update(optimizer, learning.trainable_variables)]
    train = make_train_step(
        make_self_critical_step(model, updates, config, read_reward(dataset)),
        model, model, optimizer, tf.distribute.get_strategy(), 0.0,
    )  # fmt: skip
    plan = plan_epoch(dataset.manifest, config.batch_size, 1, 0, 0)
    one_pipeline = tf.distribute.InputContext(1, 0, 1)
    first = train_dataset(dataset, plan, one_pipeline).take(CALLS)
    batches = itertools.cycle(
        [{name: x[0] for name, x in b.items() if name != "image_id"} for b in first]
    )
    return lambda: train(next(batches), tf.constant(0.0))["loss"]


def main():
    normal = tf.random.normal
    keys, tanh, dkeys = (normal([ROWS, REGIONS, UNITS]) for _ in range(3))
    query, score, dscores = normal([ROWS, UNITS]), normal([UNITS]), normal([ROWS, REGIONS])
    plain_update, fused_update, gradients = updates()
    cases = {
        "scores": (scores, fused_scores, [keys, query, score]),
        "their gradient": (gradient, fused_gradient, [tanh, dscores, score, dkeys]),
        "update of the weights": (plain_update, fused_update, gradients),
    }
    pairs = {
        name: (
            [
                tf.function(plain, autograph=False),
                tf.function(fused, jit_compile=True, autograph=False),
            ],
            arguments,
        )
        for name, (plain, fused, arguments) in cases.items()
    }
    for run in sys.argv[1:]:
        steps = [self_critical_step(run, jit_compile) for jit_compile in (False, True)]
        pairs["self-critical step"] = (steps, [])
    for name, (functions, arguments) in pairs.items():
        times = [[], []]
        for _ in range(ROUNDS):
            for function, own in zip(functions, times, strict=True):
                function(*arguments)
                start = time.perf_counter()
                for _ in range(CALLS):
                    results = function(*arguments)
                tf.nest.map_structure(lambda x: x.numpy(), results)
                own.append((time.perf_counter() - start) / CALLS * 1000)
        plain_ms, xla_ms = map(statistics.median, times)
        print(f"{name:22} {plain_ms:6.2f} ms, XLA {xla_ms:6.2f} ms")


if __name__ == "__main__":
    main()
