"""The messages of a training: before its first epoch, after each epoch, and at its end."""

from trainer.data.epoch_plan import plan_epoch
from trainer.replicas.distribution import input_context
from trainer.run_state import Run
from trainer.scores.validation import Validation

LONGEST_WARMUP = 0.2  # share of a run; a longer warm-up is reported


def first_messages(run: Run, validate: Validation) -> list[str]:
    """The messages before the first epoch."""
    strategy, readers = run.strategy, run.config.readers
    messages = [
        f"Training on {run.dataset.images('train')} images with "
        f"{strategy.num_replicas_in_sync} replica(s) on "
        f"{strategy.extended.worker_devices[0].split(':')[-2]}; "
        f"{run.model.count_params():,} parameters"
    ]
    workers = input_context(strategy).num_input_pipelines
    if workers > readers:
        messages.append(
            f"{workers} workers read the same shards; with --readers={workers} in a new run each "
            "would read its own"
        )
    return [*messages, *filter(None, [_long_warmup(run), validate.what_decides()])]


def _long_warmup(run: Run) -> str:
    """A message if warm-up takes a large part of the run; else empty."""
    config = run.config
    plan = plan_epoch(run.dataset.manifest, config.batch_size, config.readers, config.seed, 0)
    steps = plan.batches * config.epochs
    if config.warmup_steps <= LONGEST_WARMUP * steps:
        return ""
    return (
        f"--warmup_steps={config.warmup_steps} is much of this run of some {steps} steps: give "
        f"--warmup_steps={steps // 20} in a new --run if the captions stay poor"
    )


def validation_text(run: Run, cider: float, loss: float) -> str:
    """The validation scores of an epoch, and the best value of the deciding score."""
    best_cider, best_loss = float(run.progress.best), float(run.progress.best_loss)
    if best_cider > 0:
        return f"validation CIDEr {cider:.1f} (best {best_cider:.1f}), validation loss {loss:.3f}"
    return f"validation CIDEr {cider:.1f}, validation loss {loss:.3f} (best {best_loss:.3f})"


def best_text(run: Run) -> str:
    """The validation scores of the best model."""
    cider, loss = float(run.progress.best), float(run.progress.best_loss)
    if cider > 0:
        return f"best validation CIDEr {cider:.1f}, with a validation loss of {loss:.3f}"
    return f"best validation loss {loss:.3f} nats a word, for CIDEr was 0 after all epochs"
