"""One epoch of training: batches, compiled steps, rows of the log, checkpoints."""

import json
import math
import os
import threading
import time

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.errors import InputError
from trainer.data.batches import train_dataset
from trainer.data.epoch_plan import plan_epoch
from trainer.replicas.distribution import input_context, sum_of_workers
from trainer.run_state import Run
from trainer.stop_request import StoppedError

LOG_EVERY = 20  # steps
NOT_FINITE_FILE = "not_finite.json"


def train_epoch(run: Run, stop: threading.Event, show_progress: bool) -> dict[str, float]:
    """Trains for one epoch, or for the rest of an epoch that was begun.

    Returns:
      The epoch's row for the log: step, epoch, loss, seconds, images_per_second.

    Raises:
      FloatingPointError: the loss is not finite; the last checkpoint is kept.
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
        disable=None if log and show_progress else True,  # None: unless on a terminal
        initial=images_before,
    )  # fmt: skip

    def note(values: dict[str, float]) -> None:
        """Adds the scalars of a step to the progress, the log and the bar."""
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
                next(batches, None)  # reaching the end makes the dataset check its counts
                break  # the checkpoint after validation has the same step
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
    """The number of steps in one call of the compiled loop.

    A GPU would be idle between calls, so a call makes many steps. On a CPU the time of a call is
    negligible, and with one step a call a run stops after the current step.
    """
    return LOG_EVERY if tf.config.list_physical_devices("GPU") else 1


def _not_finite(run: Run, loss: float, step: int, image_ids: np.ndarray) -> FloatingPointError:
    """The error for a loss that is not finite. The batch's image ids are written to a file."""
    names = [name.decode() for name in image_ids.ravel() if name]
    path = os.path.join(run.config.run, NOT_FINITE_FILE)
    if run.log:
        write_text(path, json.dumps({"step": step, "loss": str(loss), "images": names}) + "\n")
    return FloatingPointError(
        f"the loss is {loss} at step {step}, epoch {int(run.progress.epoch) + 1}, on the images "
        f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''} (all in {path}); the last "
        "checkpoint is kept. Try a lower --learning_rate in a new --run"
    )
