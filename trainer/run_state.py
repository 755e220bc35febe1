"""The state of a run in training: model, EMA of its weights, optimizers and progress."""

import os

import keras
import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.messages import logger
from trainer.config import TrainConfig
from trainer.data.epoch_plan import plan_epoch
from trainer.data.token_counts import count_tokens
from trainer.models.make_model import make_model
from trainer.models.with_encoder import WithEncoder
from trainer.models.word_vectors import read_word_vectors
from trainer.objectives.cider_reward import read_reward
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.objectives.self_critical import make_self_critical_step
from trainer.optimizer import Update, learning_rate, make_optimizer
from trainer.progress import Progress
from trainer.replicas.distribution import input_context, is_chief, sum_of_workers
from trainer.runs.best_weights import replace_missing_best, start_from_run
from trainer.runs.checkpoints import Checkpoints, complete_steps
from trainer.runs.run_directory import CHECKPOINTS_DIRECTORY
from trainer.runs.run_log import RunLog
from trainer.step import TrainLoop, make_train_loop, make_train_step


class Run:
    """The state of a run in training. The training loop changes it.

    Attributes:
      ema: a model with the exponential moving average (EMA) of the weights of `model`; without
        `--average_decay` it is `model` itself.
      log: None in workers that are not the chief.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, strategy: tf.distribute.Strategy):
        """Makes the model, and initializes its weights if there is no checkpoint yet.

        Nothing is written. `begin` restores the last checkpoint.

        Raises:
          InputError: `--initial_run` or `--word_vectors` cannot be used.
        """
        self.config, self.dataset, self.strategy = config, dataset, strategy
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model = make_model(config, dataset)
            self.ema = make_model(config, dataset) if config.average_decay else self.model
            # The part that is trained from the start comes first; its optimizer counts the steps.
            learning = [self.model]
            if isinstance(self.model, WithEncoder):
                learning = [self.model.captioner, self.model.encoder]
            self.updates = [
                Update(make_optimizer(config), part.trainable_variables) for part in learning
            ]
            for optimizer, variables in self.updates:
                optimizer.build(variables)
        self.progress = Progress()
        directory = os.path.join(config.run, CHECKPOINTS_DIRECTORY)
        self.checkpoints = Checkpoints(
            directory,
            model=self.model.weights,
            ema=self.ema.weights,
            optimizers=[v for update in self.updates for v in update.optimizer.variables],
            progress=list(self.progress.variables),
        )
        if not complete_steps(directory):
            if config.output_bias and not config.initial_run:
                self.model.words.start_from_frequencies(count_tokens(dataset))
            if config.initial_run:
                start_from_run(self.model, config, dataset)
            if config.word_vectors:
                units = self.model.words.embedding.shape[1]
                vectors = read_word_vectors(config.word_vectors, dataset.vocabulary, units)
                self.model.words.start_from_vectors(*vectors)
                logger.info(f"{config.word_vectors}: vectors of {len(vectors[0])} words")
            for ema, variable in zip(self.ema.weights, self.model.weights, strict=True):
                ema.assign(variable)
        self.reward = None
        if config.objective == "self_critical":
            self.reward = read_reward(dataset)
        self.loops_by_parts: dict[int, TrainLoop] = {}
        self.log: RunLog | None = None

    def begin(self, epochs_before: int) -> None:
        """Restores the last checkpoint, if there is one, and opens the log.

        Args:
          epochs_before: the previous value of the run's `--epochs`.

        Raises:
          InputError: no checkpoint can be read, or workers have read different checkpoints.
        """
        is_restored = self.checkpoints.restore()
        workers = input_context(self.strategy).num_input_pipelines
        if round(sum_of_workers(self.strategy, float(self.steps))) != workers * self.steps:
            raise InputError(
                f"--run: {self.config.run} was read after {self.steps} steps here, and other "
                "workers have read another checkpoint: all must see the same files"
            )
        if is_restored:
            logger.info(f"Continuing {self.config.run} after {self.steps} steps")
            if epochs_before != self.config.epochs > int(self.progress.epoch):
                logger.info(self._of_other_epochs(epochs_before))
            if is_chief(self.strategy) and int(self.progress.epoch):
                replace_missing_best(self.config.run, self.ema)
        if is_chief(self.strategy):
            self.log = RunLog(self.config.run, self.steps, self.config.objective)

    def _of_other_epochs(self, before: int) -> str:
        """A message about how a new `--epochs` changes the schedules."""
        config, progress = self.config, self.progress
        plan = plan_epoch(
            self.dataset.manifest,
            config.batch_size,
            config.readers,
            config.seed,
            int(progress.epoch),
        )
        epochs = int(progress.epoch) + int(progress.batches) / plan.batches
        old, new = min(epochs / before, 1.0), min(epochs / config.epochs, 1.0)
        line = f"--epochs was {before} and is {config.epochs}"
        if config.schedule == "cosine":
            rates = [self.learning_rates(self.steps + 1, done)[0] for done in (old, new)]
            line += (
                f": the cosine is that of {config.epochs} epochs from here on, and the learning "
                f"rate goes from {rates[0]:.3g} to {rates[1]:.3g}"
            )
        if share := config.scheduled_sampling:
            line += f"; the share of --scheduled_sampling goes from {share * old:.3g} to "
            line += f"{share * new:.3g}"
        return line

    @property
    def steps(self) -> int:
        """The number of steps made so far."""
        return int(self.updates[0].optimizer.iterations.numpy())

    def train_loop(self) -> TrainLoop:
        """The compiled steps of this epoch; from `--unfreeze_at` on they train the CNN too."""
        config = self.config
        is_released = 0 <= config.unfreeze_at <= int(self.progress.epoch)
        updates = self.updates if is_released else self.updates[:1]
        if len(updates) not in self.loops_by_parts:
            if self.reward is not None:
                step = make_self_critical_step(self.model, updates, config, self.reward)
            else:
                step = make_cross_entropy_step(self.model, updates, config)
            self.scalars = step.scalars
            train_step = make_train_step(
                step, self.model, self.ema, updates[0].optimizer, self.strategy,
                config.average_decay,
            )  # fmt: skip
            self.loops_by_parts[len(updates)] = make_train_loop(
                train_step, step.scalars, updates, self.strategy
            )
        return self.loops_by_parts[len(updates)]

    def learning_rates(self, step: int, done: float) -> list[float]:
        """The learning rates of all optimizers at a step.

        Args:
          step: number of the step, from 1.
          done: share of the run before the step.
        """
        config, factor = self.config, float(self.progress.factor)
        peaks = (config.learning_rate, config.encoder_learning_rate)[: len(self.updates)]
        return [
            learning_rate(config.schedule, peak, config.warmup_steps, step, done, factor)
            for peak in peaks
        ]

    def save(self) -> None:
        """Writes a checkpoint, in the process that has the log."""
        if self.log:
            self.checkpoints.save(self.steps)
