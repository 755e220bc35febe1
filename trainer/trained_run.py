"""A trained run, the result of `train` and `load_run` in a Python program."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import DEFAULT_FORMATS
from tfrecords_schema.messages import logger
from trainer import recipes
from trainer.config import TrainConfig
from trainer.decoding.search_config import SearchConfig
from trainer.export.export_run import export
from trainer.models.captioner import Captioner
from trainer.runs.best_weights import load_best, open_run
from trainer.runs.run_log import METRICS_FILE, is_of_epoch, read_metrics
from trainer.scores.evaluate import Evaluation, evaluate, evaluation_files
from trainer.scores.score_files import write_evaluation
from trainer.scores.validation import best_epoch


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run and the dataset that it was trained on."""

    config: TrainConfig
    dataset: Dataset

    @functools.cached_property
    def model(self) -> Captioner:
        """The captioner with the best weights by validation; it is loaded once.

        Raises:
          InputError: the weights are damaged.
        """
        return load_best(self.config, self.dataset)

    @functools.cached_property
    def history(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl` for whole epochs, one an epoch.

        Each has step, epoch, loss, seconds, images_per_second, validation_cider, validation_loss
        and distinct_captions.

        Raises:
          InputError: the file is damaged.
        """
        return [row for row in read_metrics(self.config.run) if is_of_epoch(row)]

    @property
    def best(self) -> dict[str, float]:
        """`validation_cider` (times 100) and `validation_loss` (nats a word) of `model`.

        Raises:
          InputError: `metrics.jsonl` is damaged or has no epoch.
        """
        if not self.history:
            path = os.path.join(self.config.run, METRICS_FILE)
            raise InputError(f"--run: {path} has no row of an epoch")
        row = best_epoch(self.history)
        return {name: row[name] for name in ("validation_cider", "validation_loss")}

    def evaluate(
        self,
        split: str = "test",
        search: SearchConfig | None = None,
        show_progress: bool = False,
        save: bool = True,
    ) -> Evaluation:
        """Captions a split and scores the captions.

        Args:
          split: train, validation or test.
          search: the search settings; None means `recipes.search(config)`.
          show_progress: whether a terminal shows a progress bar.
          save: whether `captions-<split>.json` (COCO results format, ids as in the source) and
            `scores-<split>.json` are written into the run; see `save`.

        Raises:
          InputError: the dataset has no such split, its counts differ from the manifest's, XLA
            cannot compile the model, or the run cannot be written to.
        """
        search = self._check_search(search)
        evaluation = evaluate(self.model, self.dataset, split, search, show_progress)
        if save:
            self.save(evaluation)
        return evaluation

    def save(self, evaluation: Evaluation) -> None:
        """Writes the files of an evaluation into the run, or into a temporary directory instead.

        Raises:
          InputError: the run cannot be written to; the message says where the files are.
        """
        texts = evaluation_files(evaluation, self.dataset)
        write_evaluation(self.config.run, texts)
        captions, scores = (os.path.join(self.config.run, name) for name in texts)
        logger.info(f"Captions: {captions}\nScores: {scores}")

    def export(
        self,
        directory: str | os.PathLike,
        search: SearchConfig | None = None,
        formats: Sequence[str] = DEFAULT_FORMATS,
        check: bool = True,
    ) -> str:
        """Writes a SavedModel from image bytes to captions, as the next version under `directory`.

        Args:
          directory: the directory of versions, in TensorFlow Serving's layout.
          search: the search settings; None means `recipes.search(config)`.
          formats: the image formats that the export reads: JPEG, PNG, GIF, BMP, WebP.
          check: whether another process checks the export before it is published.

        Returns:
          The directory of the new version.

        Raises:
          InputError: the dataset's image encoder is missing, XLA cannot compile the model, or the
            directory cannot be written to.
          ExportError: the export's captions differ from the trainer's.
        """
        output, search = os.path.expanduser(os.fspath(directory)), self._check_search(search)
        run = self.config.run
        return export(self.model, self.dataset, output, search, formats, run, check)

    def _check_search(self, search: SearchConfig | None) -> SearchConfig:
        """The given search settings or the recipe's, checked for `jit_compile` with the model."""
        search = search or recipes.search(self.config)
        dataclasses.replace(self.config, jit_compile=search.jit_compile)
        return search


def load_run(run: str | os.PathLike, data: str | os.PathLike = "") -> TrainedRun:
    """Opens a trained run.

    Args:
      run: the directory of the run.
      data: the dataset, if it has moved since training.

    Raises:
      InputError: there is no trained run, or the dataset is not the one it was trained on.
    """
    run, data = (os.path.expanduser(os.fspath(path)) for path in (run, data))
    return TrainedRun(*open_run(run, data))
