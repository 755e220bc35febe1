"""The training loop: epochs, validation, the best weights, early stopping, resuming.

The model that is validated, kept and exported has an exponential moving average (EMA) of the
weights, which generalizes better than the last weights (Polyak and Juditsky 1992). After each epoch
the validation split is captioned greedily and scored with CIDEr. CIDEr chooses the model; for equal
CIDEr the validation loss does: see `trainer.scores.validation`.

A checkpoint has the full state of a run, also in the middle of an epoch: weights, their EMA, the
optimizer, and `Progress`. The order of the data and dropout are functions of (seed, epoch, step).
So a resumed run ends with exactly the weights of an uninterrupted one.
"""

import math
import os
import threading
from collections.abc import Callable
from typing import Any

from tfrecords_schema.errors import InputError
from tfrecords_schema.messages import logger
from trainer.check_inputs import check_inputs
from trainer.config import TrainConfig
from trainer.data.damaged_shards import damaged_shards_named
from trainer.data.shard_counts import miscounts_named
from trainer.epoch import train_epoch
from trainer.precision import precision_set
from trainer.replicas.distribution import from_chief, lost_workers_named, make_strategy
from trainer.run_messages import best_text, first_messages, validation_text
from trainer.run_state import Run
from trainer.runs.best_weights import write_best
from trainer.runs.run_log import PLOT_FILE
from trainer.runs.run_owner import own_run
from trainer.scores.distinct_captions import ADVICE
from trainer.scores.validation import Validated, Validation, is_better
from trainer.stop_request import stop_requests
from trainer.trained_run import TrainedRun

OnEpoch = Callable[[dict[str, Any]], None]


def train(
    config: TrainConfig, on_epoch: OnEpoch | None = None, show_progress: bool = False
) -> TrainedRun:
    """Trains a run to its end, from its last checkpoint if there is one.

    Progress is reported on the logger `beamcap`; see `tfrecords_schema.messages`.

    Args:
      config: the configuration of the run.
      on_epoch: called after each epoch with its row of `TrainedRun.history`, once the epoch is
        saved. With several workers only the chief calls it.
      show_progress: whether a terminal shows a progress bar.

    Returns:
      The run, whose model has the best weights by validation.

    Raises:
      InputError: the dataset or the run directory cannot be used.
      FloatingPointError: the loss is not finite.
      LostWorkerError: another worker is gone.
      StoppedError: SIGTERM was received; the run is saved.
    """
    dataset = check_inputs(config)
    with precision_set(config.precision), lost_workers_named():
        strategy = make_strategy(config.strategy)
        replicas = strategy.num_replicas_in_sync
        if config.batch_size % replicas:
            raise InputError(
                f"--batch_size={config.batch_size} must be a multiple of the {replicas} replicas"
            )
        with damaged_shards_named(dataset):
            # All checks of the inputs come before the run is claimed.
            run = Run(config, dataset, strategy)
            with own_run(config, dataset, strategy) as epochs_before:
                run.begin(epochs_before)
                with stop_requests() as stop:
                    _train_epochs(run, stop, on_epoch, show_progress)
    return TrainedRun(config, dataset)


def _train_epochs(
    run: Run, stop: threading.Event, on_epoch: OnEpoch | None, show_progress: bool
) -> None:
    """Trains until all epochs are done or early stopping ends the training; see `train`."""
    config, dataset, strategy = run.config, run.dataset, run.strategy
    progress, log = run.progress, run.log
    validate = Validation(config, dataset, run.ema, show_progress)
    for message in first_messages(run, validate):
        logger.info(message)
    found = Validated(0.0, 0.0, 0)
    while (
        int(progress.epoch) < config.epochs
        and int(progress.epochs_without_improvement) < config.patience
    ):
        with miscounts_named(dataset):
            row = train_epoch(run, stop, show_progress)
        found = validate() if log else found
        cider, loss = from_chief(strategy, found.cider), from_chief(strategy, found.loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss is {loss} after epoch {int(progress.epoch) + 1}; the last "
                "checkpoint is kept. Try a lower --learning_rate in a new --run, and whether "
                f"`python -m pipeline.verify {config.data}` finds features that are not finite"
            )
        _end_epoch(run, cider, loss)
        if log:
            scores = {"validation_cider": cider, "validation_loss": loss}
            row |= scores | {"distinct_captions": found.distinct_captions}
            log.write(row)
            log.plot()
            run.save()
            logger.info(
                f"epoch {int(progress.epoch)}: loss {row['loss']:.3f}, "
                f"{validation_text(run, cider, loss)}, {row['seconds']:.0f} s, "
                f"{row['images_per_second']:.0f} images/s"
            )
            if found.remark:
                logger.info(found.remark)
            if on_epoch:
                on_epoch(row)
    ended = "all epochs done"
    if int(progress.epoch) < config.epochs:
        ended = f"no better for a while: a larger --patience than {config.patience} goes on"
    logger.info(
        f"Training ended ({ended}): {best_text(run)}. "
        f"Run: {config.run}, loss plot: {os.path.join(config.run, PLOT_FILE)}"
    )
    if found.remark:
        logger.info(ADVICE)


def _end_epoch(run: Run, cider: float, loss: float) -> None:
    """Counts an epoch. Keeps its weights if they are the best, else may lower a plateau's rate."""
    config, progress = run.config, run.progress
    progress.epoch.assign_add(1)
    progress.begin_epoch()
    if is_better(cider, loss, float(progress.best), float(progress.best_loss)):
        progress.best.assign(cider)
        progress.best_loss.assign(loss)
        progress.epochs_without_improvement.assign(0)
        if run.log:
            write_best(config.run, run.ema)
        return
    progress.epochs_without_improvement.assign_add(1)
    if int(progress.epochs_without_improvement) % config.plateau_patience == 0:
        progress.factor.assign(float(progress.factor) * config.plateau_factor)
