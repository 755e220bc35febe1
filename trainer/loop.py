"""The training loop: epochs, validation, the best weights, early stopping, continuing.

What is validated, kept and exported is a moving average of the weights, which generalizes better
than the last weights (Polyak and Juditsky 1992). After each epoch the validation split is captioned
greedily and scored with CIDEr: the model is chosen by the captions that it writes by itself, not
by its loss on words that it was handed.
"""

import math
import os
import time

import keras
import tensorflow as tf
from tqdm import tqdm

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import VOCABULARY_FILE, Manifest, check_dataset, read_manifest
from tfrecords_schema.vocabulary import read_vocabulary
from trainer.caption_split import SplitCaptioner
from trainer.config import TrainConfig
from trainer.dataset import read_references, train_dataset
from trainer.distribution import (
    from_chief,
    input_context,
    is_chief,
    make_strategy,
    to_replicas,
)
from trainer.metrics import score_cider, tokenize_references
from trainer.report import PLOT_FILE, RunLog
from trainer.run_directory import claim_run, make_model, write_best
from trainer.step import ClippedAdam, make_train_step

LOG_EVERY = 20  # steps


class Progress(tf.Module):
    """How far a run is; part of its checkpoint."""

    def __init__(self) -> None:
        """Before the first epoch."""
        super().__init__()
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)  # epochs completed
        self.best = tf.Variable(-1.0, dtype=tf.float64, trainable=False)  # validation CIDEr
        self.stale = tf.Variable(0, dtype=tf.int64, trainable=False)  # epochs since the best


def train(config: TrainConfig) -> float:
    """Trains a run to its end, from its last complete epoch where it was begun before.

    Returns:
      The best validation CIDEr.

    Raises:
      InputError: the dataset or the run directory cannot be used.
    """
    manifest = read_manifest(config.data)
    check_dataset(config.data, manifest)
    manifest.feature_shape()  # that it has one
    if not manifest.splits.get("validation"):
        raise InputError(f"--data: {config.data} has no validation split to choose the model by")
    strategy = make_strategy(config.strategy)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise InputError(
            f"--batch_size={config.batch_size} must be a multiple of the {replicas} replicas"
        )
    if is_chief(strategy):
        claim_run(config, manifest)

    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model, average = make_model(config, manifest), make_model(config, manifest)
        optimizer = ClippedAdam(config.learning_rate, config.clip_norm)
        optimizer.build(model.trainable_variables)
        for mean, variable in zip(average.variables, model.variables, strict=True):
            mean.assign(variable)
    progress = Progress()
    checkpoints = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=model, average=average, optimizer=optimizer, progress=progress),
        os.path.join(config.run, "checkpoints"),
        max_to_keep=1,
    )
    if checkpoints.restore_or_initialize():
        print(f"Continuing {config.run} after {int(progress.epoch)} epochs")
    train_step = make_train_step(model, average, optimizer, strategy, config)
    validate = Validation(config, manifest, average)
    log = RunLog(config.run, int(optimizer.iterations.numpy())) if is_chief(strategy) else None
    print(
        f"Training on {manifest.images('train')} images with {replicas} replica(s) on "
        f"{strategy.extended.worker_devices[0].split(':')[-2]}; "
        f"{model.count_params():,} parameters"
    )

    while int(progress.epoch) < config.epochs and int(progress.stale) < config.patience:
        row = train_epoch(config, manifest, strategy, train_step, optimizer, progress, log)
        score = from_chief(strategy, validate() if log else 0.0)
        progress.epoch.assign_add(1)
        if score > float(progress.best):
            progress.best.assign(score)
            progress.stale.assign(0)
            if log:
                write_best(config.run, average)
        else:
            progress.stale.assign_add(1)
        if log:
            log.write({**row, "validation_cider": score})
            log.plot()
            checkpoints.save()
            print(
                f"epoch {int(progress.epoch)}: loss {row['loss']:.3f}, validation CIDEr "
                f"{score:.1f} (best {float(progress.best):.1f}), {row['seconds']:.0f} s, "
                f"{row['images_per_second']:.0f} images/s"
            )
    stopped = "no better for a while" if int(progress.epoch) < config.epochs else "all epochs done"
    print(
        f"Training ended ({stopped}): best validation CIDEr {float(progress.best):.1f}. "
        f"Run: {config.run}, loss plot: {os.path.join(config.run, PLOT_FILE)}"
    )
    return float(progress.best)


def train_epoch(
    config: TrainConfig,
    manifest: Manifest,
    strategy: tf.distribute.Strategy,
    train_step: tf.types.experimental.PolymorphicFunction,
    optimizer: keras.optimizers.Optimizer,
    progress: Progress,
    log: RunLog | None,
) -> dict[str, float]:
    """One epoch; returns its row for the log.

    Raises:
      FloatingPointError: the loss is not finite; what was saved before stays.
    """
    epoch = int(progress.epoch)
    # Half a cosine over the epochs (Loshchilov and Hutter 2017, without restarts).
    rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    optimizer.learning_rate.assign(rate)
    batches = train_dataset(
        config.data, manifest, config.batch_size, config.seed, epoch, input_context(strategy)
    )
    start, images, losses = time.perf_counter(), 0, []
    bar = tqdm(
        total=manifest.images("train"), unit=" images", desc=f"epoch {epoch + 1}", leave=False,
        disable=log is None,
    )  # fmt: skip
    with bar:
        for batch in batches:
            loss, count = (float(value) for value in train_step(to_replicas(strategy, batch)))
            step = int(optimizer.iterations.numpy())
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at step {step}, epoch {epoch + 1}; what was saved after "
                    "the last epoch is kept. Try a lower --learning_rate in a new --run"
                )
            images += int(count)
            losses.append(loss)
            bar.update(int(count))
            if log and step % LOG_EVERY == 0:
                mean = sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:])
                log.write({"step": step, "epoch": epoch + 1, "loss": mean})
                bar.set_postfix(loss=f"{mean:.3f}")
    seconds = time.perf_counter() - start
    return {
        "step": step,
        "epoch": epoch + 1,
        "loss": sum(losses) / len(losses),
        "seconds": seconds,
        "images_per_second": images / seconds,
    }


class Validation:
    """Greedy CIDEr on the validation split."""

    def __init__(self, config: TrainConfig, manifest: Manifest, model: keras.layers.Layer):
        """References are read and tokenized once."""
        vocabulary = read_vocabulary(os.path.join(config.data, VOCABULARY_FILE))
        references = read_references(config.data, manifest, "validation")
        self._references = tokenize_references(references)
        self._caption = SplitCaptioner(model, vocabulary, config.data, manifest, "validation")

    def __call__(self) -> float:
        """CIDEr, 0 to 1000."""
        return score_cider(self._references, self._caption())
