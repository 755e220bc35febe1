"""What a run writes about itself: `metrics.jsonl`, TensorBoard, and the loss plot."""

import json
import os
from typing import Any

import matplotlib
import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text

matplotlib.use("Agg")  # files only; there may be no screen

from matplotlib import pyplot as plt

METRICS_FILE = "metrics.jsonl"
PLOT_FILE = os.path.join("plots", "loss.png")


class RunLog:
    """Appends rows of metrics to `metrics.jsonl` and TensorBoard.

    A row has `step` and `epoch`; one of the training loss each few steps, one an epoch with the
    validation scores. Rows after the step that a killed run continues from are taken back first.
    """

    def __init__(self, run: str, step: int):
        """Opens the log of `run`, which has made `step` steps."""
        self._path = os.path.join(run, METRICS_FILE)
        self._rows = [row for row in read_metrics(run) if row["step"] <= step]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._run = run
        self._writer = tf.summary.create_file_writer(os.path.join(run, "tensorboard"))

    def write(self, row: dict[str, Any]) -> None:
        """Adds one row; its numbers become TensorBoard scalars."""
        self._rows.append(row)
        with open(self._path, "a") as file:
            file.write(json.dumps(row) + "\n")
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name not in ("step", "epoch"):
                    tf.summary.scalar(name, value)

    def plot(self) -> None:
        """Writes the plot of loss and validation CIDEr over the steps."""
        self._writer.flush()
        plot_metrics(self._rows, os.path.join(self._run, PLOT_FILE))


def read_metrics(run: str) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; a last line that a kill cut short is left out."""
    path = os.path.join(run, METRICS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    lines = read_text(path).split("\n")[:-1]
    return [json.loads(line) for line in lines]


def plot_metrics(rows: list[dict[str, Any]], path: str) -> None:
    """Plots `loss` and, on a second axis, `validation_cider` against `step`."""
    figure, left = plt.subplots(figsize=(8, 4.5), layout="constrained")
    losses = [(row["step"], row["loss"]) for row in rows if "validation_cider" not in row]
    scores = [(row["step"], row["validation_cider"]) for row in rows if "validation_cider" in row]
    left.set(xlabel="step", ylabel="training loss (nats a word)")
    lines = left.plot(*zip(*losses, strict=True), color="tab:blue", label="training loss")
    if scores:
        right = left.twinx()
        right.set_ylabel("validation CIDEr (greedy)")
        lines += right.plot(
            *zip(*scores, strict=True), color="tab:orange", marker="o", label="validation CIDEr"
        )
    left.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    left.grid(alpha=0.3)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with complete_or_absent(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)
