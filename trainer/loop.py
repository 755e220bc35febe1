"""The training loop: epochs, validation, the best weights, early stopping, continuing.

What is validated, kept and exported is a moving average of the weights, which generalizes better
than the last weights (Polyak and Juditsky 1992). After each epoch the validation split is captioned
greedily and scored with CIDEr: the model is chosen by the captions that it writes by itself, and by
its loss on words that it was handed only where CIDEr does not tell: `trainer.scores.validation`.

A checkpoint has all that the rest of a run depends on, also in the middle of an epoch: weights,
their average, the optimizer, and `Progress`. Order of the data and dropout are functions of
(seed, epoch, step), so nothing else need be kept, and a run that is continued ends with the very
weights of one that was never stopped.
"""

import json
import math
import os
import threading
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from trainer.config import OF_IMAGES, TrainConfig
from trainer.data.batches import train_dataset
from trainer.data.damaged_shards import damaged_shards_named
from trainer.data.epoch_plan import plan_epoch
from trainer.data.shard_counts import miscounts_named
from trainer.precision import set_precision
from trainer.replicas.distribution import (
    from_chief,
    input_context,
    lost_workers_named,
    make_strategy,
    sum_of_workers,
)
from trainer.run_state import Run
from trainer.runs.run_directory import check_run, is_begun, read_config, write_best
from trainer.runs.run_log import PLOT_FILE
from trainer.runs.run_owner import own_run
from trainer.scores.distinct_captions import ADVICE
from trainer.scores.validation import Validated, Validation, is_better
from trainer.stop_request import StoppedError, stop_requests

LOG_EVERY = 20  # steps
LONGEST_WARMUP = 0.2  # of a run; a longer one is printed
NOT_FINITE_FILE = "not_finite.json"


def train(config: TrainConfig) -> dict[str, float]:
    """Trains a run to its end, from its last checkpoint where it was begun before.

    Returns:
      `validation_cider` and `validation_loss`, in nats a word, of the model that is kept.

    Raises:
      InputError: the dataset or the run directory cannot be used.
      FloatingPointError: the loss is not finite.
      LostWorkerError: another worker is gone.
      StoppedError: SIGTERM came; the run is saved.
    """
    dataset = check_inputs(config)
    set_precision(config.precision)
    with lost_workers_named():
        strategy = make_strategy(config.strategy)
        replicas = strategy.num_replicas_in_sync
        if config.batch_size % replicas:
            raise InputError(
                f"--batch_size={config.batch_size} must be a multiple of the {replicas} replicas"
            )
        with damaged_shards_named(dataset):
            # All that may be wrong is found before the run is claimed.
            run = Run(config, dataset, strategy)
            with own_run(config, dataset, strategy) as epochs_before:
                run.begin(epochs_before)
                with stop_requests() as stop:
                    return train_run(run, stop)


def check_inputs(config: TrainConfig) -> Dataset:
    """The dataset, which can be trained on, in a run that takes it.

    Raises:
      InputError: the dataset or the run directory cannot be used.
    """
    dataset = open_dataset(config.data)
    dataset.manifest.feature_shape()  # that it has one
    for name in OF_IMAGES if not dataset.manifest.has_images() else ():
        if (value := getattr(config, name)) != getattr(TrainConfig, name):
            raise InputError(
                f"--{name}={value} is for a dataset of images, written with --features=image; "
                f"{config.data} has features"
            )
    for split, purpose in (("train", "to learn from"), ("validation", "to choose the model by")):
        if not dataset.images(split):
            raise InputError(f"--data: {config.data} has no {split} split {purpose}")
    check_run(config, dataset)
    if not is_begun(config.run):
        if config.initial_run:
            read_config(config.initial_run, "initial_run")
        if config.word_vectors and not tf.io.gfile.exists(config.word_vectors):
            raise InputError(f"--word_vectors: {config.word_vectors} does not exist")
    return dataset


def train_run(run: Run, stop: threading.Event) -> dict[str, float]:
    """See `train`."""
    config, dataset, strategy = run.config, run.dataset, run.strategy
    progress, log = run.progress, run.log
    validate = Validation(config, dataset, run.average)
    print(
        f"Training on {dataset.images('train')} images with "
        f"{strategy.num_replicas_in_sync} replica(s) on "
        f"{strategy.extended.worker_devices[0].split(':')[-2]}; "
        f"{run.model.count_params():,} parameters"
    )
    if warms_up := _long_warmup(config, dataset):
        print(warms_up)
    workers = input_context(strategy).num_input_pipelines
    if workers > config.readers:
        print(
            f"{workers} workers read the same shards; with --readers={workers} in a new run each "
            "would read its own"
        )
    if decides := validate.what_decides():
        print(decides)
    found = Validated(0.0, 0.0, 0)
    while int(progress.epoch) < config.epochs and int(progress.stale) < config.patience:
        with miscounts_named(dataset):
            row = train_epoch(run, stop)
        found = validate() if log else found
        cider, loss = from_chief(strategy, found.cider), from_chief(strategy, found.loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss is {loss} after epoch {int(progress.epoch) + 1}; the last "
                "checkpoint is kept. Try a lower --learning_rate in a new --run, and whether "
                f"`python -m pipeline.verify {config.data}` finds features that are not finite"
            )
        progress.epoch.assign_add(1)
        progress.begin_epoch()
        if is_better(cider, loss, float(progress.best), float(progress.best_loss)):
            progress.best.assign(cider)
            progress.best_loss.assign(loss)
            progress.stale.assign(0)
            if log:
                write_best(config.run, run.average)
        else:
            progress.stale.assign_add(1)
            if int(progress.stale) % config.plateau_patience == 0:
                progress.factor.assign(float(progress.factor) * config.plateau_factor)
        if log:
            scores = {"validation_cider": cider, "validation_loss": loss}
            log.write({**row, **scores, "distinct_captions": found.distinct_captions})
            log.plot()
            run.save()
            print(
                f"epoch {int(progress.epoch)}: loss {row['loss']:.3f}, "
                f"{_validation_text(run, cider, loss)}, {row['seconds']:.0f} s, "
                f"{row['images_per_second']:.0f} images/s"
            )
            if found.remark:
                print(found.remark)
    stopped = "all epochs done"
    if int(progress.epoch) < config.epochs:
        stopped = f"no better for a while: a larger --patience than {config.patience} goes on"
    print(
        f"Training ended ({stopped}): {_best_text(run)}. "
        f"Run: {config.run}, loss plot: {os.path.join(config.run, PLOT_FILE)}"
    )
    if found.remark:
        print(ADVICE)
    return {
        "validation_cider": float(progress.best),
        "validation_loss": float(progress.best_loss),
    }


def _long_warmup(config: TrainConfig, dataset: Dataset) -> str:
    """A line where the learning rate rises over a large part of the run; else empty."""
    plan = plan_epoch(dataset.manifest, config.batch_size, config.readers, config.seed, 0)
    steps = plan.batches * config.epochs
    if config.warmup_steps <= LONGEST_WARMUP * steps:
        return ""
    return (
        f"--warmup_steps={config.warmup_steps} is much of this run of some {steps} steps: give "
        f"--warmup_steps={steps // 20} in a new --run if the captions stay poor"
    )


def _validation_text(run: Run, cider: float, loss: float) -> str:
    """An epoch's validation, with the best one in what decides."""
    best_cider, best_loss = float(run.progress.best), float(run.progress.best_loss)
    if best_cider > 0:
        return f"validation CIDEr {cider:.1f} (best {best_cider:.1f}), validation loss {loss:.3f}"
    return f"validation CIDEr {cider:.1f}, validation loss {loss:.3f} (best {best_loss:.3f})"


def _best_text(run: Run) -> str:
    """What the model that is kept was chosen by."""
    cider, loss = float(run.progress.best), float(run.progress.best_loss)
    if cider > 0:
        return f"best validation CIDEr {cider:.1f}, with a validation loss of {loss:.3f}"
    return f"best validation loss {loss:.3f} nats a word, for CIDEr was 0 after all epochs"


def train_epoch(run: Run, stop: threading.Event) -> dict[str, float]:
    """One epoch, or what is left of it; returns its row for the log.

    Raises:
      FloatingPointError: the loss is not finite; what was saved before stays.
      StoppedError: `stop` was set; the run is saved.
    """
    config, progress, log, strategy = run.config, run.progress, run.log, run.strategy
    epoch, images = int(progress.epoch), run.dataset.images("train")
    plan = plan_epoch(run.dataset.manifest, config.batch_size, config.readers, config.seed, epoch)
    if int(progress.batches) >= plan.batches:
        raise InputError(
            f"--data: {config.data} has {images} training images, so few that {config.run} was "
            f"begun with others: it has made {int(progress.batches)} batches of an epoch that has "
            f"{plan.batches}. Train in a new --run"
        )
    batches = iter(train_dataset(run.dataset, plan, input_context(strategy), int(progress.batches)))
    at_once, train_steps = steps_at_once(), run.train_loop()
    start, images_before = time.perf_counter(), int(progress.images)
    step = run.steps
    bar = tqdm(
        total=images, unit=" images", desc=f"epoch {epoch + 1}", leave=False,
        disable=None if log else True,  # None: where no one looks on
        initial=images_before,
    )  # fmt: skip

    def note(values: dict[str, float]) -> None:
        images = int(values.pop("images"))
        progress.batches.assign_add(1)
        progress.loss_sum.assign_add(values["loss"])
        progress.images.assign_add(images)
        bar.update(images)
        progress.add_recent(list(values.values()))
        if step % LOG_EVERY == 0:
            means = dict(zip(values, progress.recent_means(), strict=False))
            progress.begin_row()
            if log:
                log.write({"step": step, "epoch": epoch + 1, **means})
                bar.set_postfix({name: f"{mean:.3f}" for name, mean in means.items()})

    with bar:
        while left := plan.batches - int(progress.batches):
            numbers = range(min(at_once - step % at_once, left))  # up to the next multiple
            batch = int(progress.batches)
            done = [(epoch + (batch + i) / plan.batches) / config.epochs for i in numbers]
            rates = [run.learning_rates(step + 1 + i, done[i]) for i in numbers]
            shares = [config.scheduled_sampling * d for d in done]
            found, image_ids = train_steps(
                batches, tf.constant(rates, tf.float32), tf.constant(shares, tf.float32)
            )
            for row, ids in zip(found.numpy().astype(float), image_ids.numpy(), strict=True):
                step += 1
                values = dict(zip(run.scalars, row, strict=True))
                if not math.isfinite(values["loss"]):
                    raise _not_finite(run, values["loss"], step, ids)
                note(values)
            if len(numbers) == left:
                next(batches, None)  # the dataset looks whether its counts are right at its end
                break  # what is saved after validation has the same step
            is_stopped = sum_of_workers(strategy, float(stop.is_set())) > 0
            if is_stopped or step % config.checkpoint_every < at_once:
                run.save()
            if is_stopped:
                raise StoppedError(
                    f"asked to stop: {config.run} is saved after {step} steps, the same command "
                    "continues it"
                )
    seconds = time.perf_counter() - start
    return {
        "step": step,
        "epoch": epoch + 1,
        "loss": float(progress.loss_sum) / int(progress.batches),
        "seconds": seconds,
        "images_per_second": (int(progress.images) - images_before) / seconds,
    }


def steps_at_once() -> int:
    """How many steps are made between two looks of Python at them.

    On a GPU that many, because it would wait for each look. On a CPU a look costs nothing beside a
    step, and one at a time leaves no doubt after which one a run is stopped.
    """
    return LOG_EVERY if tf.config.list_physical_devices("GPU") else 1


def _not_finite(run: Run, loss: float, step: int, image_ids: np.ndarray) -> FloatingPointError:
    names = [name.decode() for name in image_ids.ravel() if name]
    path = os.path.join(run.config.run, NOT_FINITE_FILE)
    if run.log:
        write_text(path, json.dumps({"step": step, "loss": str(loss), "images": names}) + "\n")
    return FloatingPointError(
        f"the loss is {loss} at step {step}, epoch {int(run.progress.epoch) + 1}, on the images "
        f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''} (all in {path}); the last "
        "checkpoint is kept. Try a lower --learning_rate in a new --run"
    )
