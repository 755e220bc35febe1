"""The training loop: epochs, validation, the best weights, early stopping, continuing.

What is validated, kept and exported is a moving average of the weights, which generalizes better
than the last weights (Polyak and Juditsky 1992). After each epoch the validation split is captioned
greedily and scored with CIDEr: the model is chosen by the captions that it writes by itself, not
by its loss on words that it was handed.

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
from tfrecords_schema.characters import of_characters
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import VOCABULARY_FILE, Manifest, check_dataset, read_manifest
from tfrecords_schema.vocabulary import read_vocabulary
from trainer.caption_split import SplitCaptioner
from trainer.config import OF_IMAGES, TrainConfig
from trainer.dataset import read_references, train_dataset
from trainer.distribution import (
    from_chief,
    input_context,
    is_chief,
    lost_workers_named,
    make_strategy,
    sum_of_workers,
)
from trainer.epoch_plan import plan_epoch
from trainer.metrics import score_cider, tokenize_references
from trainer.models.captioner import Captioner
from trainer.precision import set_precision
from trainer.report import PLOT_FILE
from trainer.run_directory import claim_run, write_best
from trainer.run_state import Run
from trainer.stop_request import StoppedError, stop_requests

LOG_EVERY = 20  # steps
NOT_FINITE_FILE = "not_finite.json"


def train(config: TrainConfig) -> float:
    """Trains a run to its end, from its last checkpoint where it was begun before.

    Returns:
      The best validation CIDEr.

    Raises:
      InputError: the dataset or the run directory cannot be used.
      FloatingPointError: the loss is not finite.
      LostWorkerError: another worker is gone.
      StoppedError: SIGTERM came; the run is saved.
    """
    manifest = read_manifest(config.data)
    check_dataset(config.data, manifest)
    manifest.feature_shape()  # that it has one
    for name in OF_IMAGES if not manifest.has_images() else ():
        if (value := getattr(config, name)) != getattr(TrainConfig, name):
            raise InputError(
                f"--{name}={value} is for a dataset of images, written with --features=image; "
                f"{config.data} has features"
            )
    for split, purpose in (("train", "to learn from"), ("validation", "to choose the model by")):
        if not manifest.images(split):
            raise InputError(f"--data: {config.data} has no {split} split {purpose}")
    set_precision(config.precision)
    strategy = make_strategy(config.strategy)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise InputError(
            f"--batch_size={config.batch_size} must be a multiple of the {replicas} replicas"
        )
    if is_chief(strategy):
        claim_run(config, manifest)

    run = Run(config, manifest, strategy)
    with stop_requests() as stop, lost_workers_named():
        return train_run(run, stop)


def train_run(run: Run, stop: threading.Event) -> float:
    """See `train`."""
    config, manifest, strategy = run.config, run.manifest, run.strategy
    progress, log = run.progress, run.log
    validate = Validation(config, manifest, run.average)
    print(
        f"Training on {manifest.images('train')} images with "
        f"{strategy.num_replicas_in_sync} replica(s) on "
        f"{strategy.extended.worker_devices[0].split(':')[-2]}; "
        f"{run.model.count_params():,} parameters"
    )
    workers = input_context(strategy).num_input_pipelines
    if workers > config.readers:
        print(
            f"{workers} workers read the same shards; with --readers={workers} in a new run each "
            "would read its own"
        )
    while int(progress.epoch) < config.epochs and int(progress.stale) < config.patience:
        row = train_epoch(run, stop)
        score = from_chief(strategy, validate() if log else 0.0)
        progress.epoch.assign_add(1)
        progress.begin_epoch()
        if score > float(progress.best):
            progress.best.assign(score)
            progress.stale.assign(0)
            if log:
                write_best(config.run, run.average)
        else:
            progress.stale.assign_add(1)
            if int(progress.stale) % config.plateau_patience == 0:
                progress.factor.assign(float(progress.factor) * config.plateau_factor)
        if log:
            log.write({**row, "validation_cider": score})
            log.plot()
            run.save()
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


def train_epoch(run: Run, stop: threading.Event) -> dict[str, float]:
    """One epoch, or what is left of it; returns its row for the log.

    Raises:
      FloatingPointError: the loss is not finite; what was saved before stays.
      StoppedError: `stop` was set; the run is saved.
    """
    config, progress, log, strategy = run.config, run.progress, run.log, run.strategy
    epoch, images = int(progress.epoch), run.manifest.images("train")
    plan = plan_epoch(run.manifest, config.batch_size, config.readers, config.seed, epoch)
    batches = iter(
        train_dataset(
            config.data, run.manifest, plan, input_context(strategy), int(progress.batches)
        )
    )
    at_once, train_steps = steps_at_once(), run.train_loop()
    start, images_before = time.perf_counter(), int(progress.images)
    step = run.steps
    recent: list[dict[str, float]] = []
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
        recent.append(values)
        if log and step % LOG_EVERY == 0:
            means = {name: sum(v[name] for v in recent) / len(recent) for name in values}
            log.write({"step": step, "epoch": epoch + 1, **means})
            bar.set_postfix({name: f"{mean:.3f}" for name, mean in means.items()})
        if step % LOG_EVERY == 0:
            recent.clear()

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


class Validation:
    """Greedy CIDEr on the validation split, or on the first images of a large one.

    They are a fair sample: which shard an image is in is a hash of its name.
    """

    def __init__(self, config: TrainConfig, manifest: Manifest, model: Captioner):
        """References are read and tokenized once."""
        vocabulary = read_vocabulary(os.path.join(config.data, VOCABULARY_FILE))
        images = config.validation_images
        references = read_references(config.data, manifest, "validation", images)
        characters = of_characters(manifest.config)
        self._references = tokenize_references(references, characters=characters)
        self._caption = SplitCaptioner(
            model, vocabulary, config.data, manifest, "validation",
            jit_compile=config.jit_compile, images=images,
        )  # fmt: skip

    def __call__(self) -> float:
        """CIDEr, 0 to 1000."""
        return score_cider(self._references, self._caption())
