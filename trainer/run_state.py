"""A run under way: its model, optimizers and progress, new or from its last checkpoint."""

import os

import keras
import tensorflow as tf

from tfrecords_schema.manifest import VOCABULARY_FILE, Manifest
from tfrecords_schema.vocabulary import read_vocabulary
from trainer.checkpoints import Checkpoints
from trainer.cider_reward import read_reward
from trainer.config import TrainConfig
from trainer.distribution import is_chief
from trainer.initial_weights import count_tokens, read_word_vectors
from trainer.models.with_encoder import WithEncoder
from trainer.report import RunLog
from trainer.run_directory import make_model, start_from_run
from trainer.schedule import learning_rate
from trainer.self_critical import make_self_critical_step
from trainer.step import (
    TrainLoop,
    Update,
    make_cross_entropy_step,
    make_optimizer,
    make_train_loop,
    make_train_step,
)


class Progress(tf.Module):
    """How far a run is; part of its checkpoint."""

    def __init__(self) -> None:
        """Before the first epoch."""
        super().__init__()

        def number(value: float, dtype: tf.DType) -> tf.Variable:
            return tf.Variable(value, dtype=dtype, trainable=False)

        self.epoch = number(0, tf.int64)  # epochs completed
        self.batches = number(0, tf.int64)  # of the epoch after them
        self.images = number(0, tf.int64)  # likewise
        self.loss_sum = number(0, tf.float64)  # likewise, one loss a batch
        self.best = number(-1.0, tf.float64)  # validation CIDEr
        self.stale = number(0, tf.int64)  # epochs since the best
        self.factor = number(1.0, tf.float64)  # of the learning rate, of the plateau schedule

    def begin_epoch(self) -> None:
        """Of the epoch under way nothing has been done yet."""
        self.batches.assign(0)
        self.images.assign(0)
        self.loss_sum.assign(0)


class Run:
    """A run under way: what the training loop works on."""

    def __init__(self, config: TrainConfig, manifest: Manifest, strategy: tf.distribute.Strategy):
        """Makes the model, or reads it from the last checkpoint."""
        self.config, self.manifest, self.strategy = config, manifest, strategy
        vocabulary = read_vocabulary(os.path.join(config.data, VOCABULARY_FILE))
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model = make_model(config, manifest)
            self.average = make_model(config, manifest) if config.average_decay else self.model
            # What learns from the start comes first; its optimizer counts the steps.
            learning = [self.model]
            if isinstance(self.model, WithEncoder):
                learning = [self.model.captioner, self.model.encoder]
            self.updates = [
                Update(make_optimizer(config), part.trainable_variables) for part in learning
            ]
            for optimizer, variables in self.updates:
                optimizer.build(variables)
        self.progress = Progress()
        self.checkpoints = Checkpoints(
            os.path.join(config.run, "checkpoints"),
            model=self.model.weights,
            average=self.average.weights,
            optimizers=[v for update in self.updates for v in update.optimizer.variables],
            progress=list(self.progress.variables),
        )
        if self.checkpoints.restore():
            print(f"Continuing {config.run} after {self.steps} steps")
        else:
            if config.output_bias and not config.initial_run:
                self.model.words.start_from_frequencies(count_tokens(config.data, manifest))
            if config.initial_run:
                start_from_run(self.model, config)
            if config.word_vectors:
                units = self.model.words.embedding.shape[1]
                vectors = read_word_vectors(config.word_vectors, vocabulary, units)
                self.model.words.start_from_vectors(*vectors)
                print(f"{config.word_vectors}: vectors of {len(vectors[0])} words")
            for mean, variable in zip(self.average.weights, self.model.weights, strict=True):
                mean.assign(variable)
        self.reward = None
        if config.objective == "self_critical":
            self.reward = read_reward(config.data, manifest)
        self.loops_by_parts: dict[int, TrainLoop] = {}
        self.log = RunLog(config.run, self.steps) if is_chief(strategy) else None

    @property
    def steps(self) -> int:
        """Made so far."""
        return int(self.updates[0].optimizer.iterations.numpy())

    def train_loop(self) -> TrainLoop:
        """The steps of this epoch: with the CNN, if there is one, once it is released."""
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
                step, self.model, self.average, updates[0].optimizer, self.strategy,
                config.average_decay,
            )  # fmt: skip
            self.loops_by_parts[len(updates)] = make_train_loop(
                train_step, step.scalars, updates, self.strategy
            )
        return self.loops_by_parts[len(updates)]

    def learning_rates(self, step: int, done: float) -> list[float]:
        """Of all optimizers at a step, counted from 1, that begins after a share of the run."""
        config, factor = self.config, float(self.progress.factor)
        peaks = (config.learning_rate, config.encoder_learning_rate)[: len(self.updates)]
        return [
            learning_rate(config.schedule, peak, config.warmup_steps, step, done, factor)
            for peak in peaks
        ]

    def save(self) -> None:
        """Writes a checkpoint."""
        if self.log:
            self.checkpoints.save(self.steps)
