"""The log of a run: `metrics.jsonl`, TensorBoard, and the loss plot."""

import json
import os
from typing import Any

import tensorflow as tf
from matplotlib.figure import Figure

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.disk_failures import file_named
from tfrecords_schema.errors import InputError

METRICS_FILE = "metrics.jsonl"
PLOT_FILE = os.path.join("plots", "loss.png")
LOSSES = {  # objective -> axis label of its loss
    "cross_entropy": "training loss (nats a word)",
    "self_critical": "training loss (minus the mean reward, CIDEr-D)",
}


class RunLog:
    """Appends rows of metrics to `metrics.jsonl` and TensorBoard.

    A row has `step` and `epoch`. Every few steps there is one with the training loss, every epoch
    one with the validation scores. When a killed run resumes, the rows after its step are removed
    from `metrics.jsonl`, and TensorBoard is told to ignore them.
    """

    def __init__(self, run: str, step: int, objective: str = "cross_entropy"):
        """Opens the log of `run`, which has made `step` steps."""
        self._path = os.path.join(run, METRICS_FILE)
        self._rows = [row for row in read_metrics(run) if row["step"] <= step]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._run, self._objective = run, objective
        # tf.summary's writer cannot write the event that purges later steps.
        with tf.Graph().as_default():
            self._writer = tf.compat.v1.summary.FileWriter(
                os.path.join(run, "tensorboard"), filename_suffix=f".step-{step:09}"
            )
        start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._writer.add_session_log(start, step + 1)

    def write(self, row: dict[str, Any]) -> None:
        """Adds one row; its numbers become TensorBoard scalars.

        An epoch's loss is named `epoch_loss` there, since its last steps' row may have its step.
        """
        self._rows.append(row)
        with file_named(self._path), open(self._path, "a") as file:
            file.write(json.dumps(row) + "\n")
        scalars = {name: value for name, value in row.items() if name not in ("step", "epoch")}
        if is_of_epoch(row):
            scalars["epoch_loss"] = scalars.pop("loss")
        summary = tf.compat.v1.Summary()
        for name, value in scalars.items():
            summary.value.add(tag=name, simple_value=value)
        self._writer.add_summary(summary, row["step"])
        self._writer.flush()  # a run that resumes from here does not write it again

    def plot(self) -> None:
        """Writes the plot of loss and validation CIDEr over the steps."""
        plot_metrics(self._rows, os.path.join(self._run, PLOT_FILE), self._objective)


def is_of_epoch(row: dict[str, Any]) -> bool:
    """Whether a row is of a whole epoch, with its validation scores."""
    return "seconds" in row


def read_metrics(run: str) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`, without a last line that a kill cut short.

    Raises:
      InputError: a line is damaged.
    """
    path = os.path.join(run, METRICS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode("utf-8"))
            if not isinstance(row["step"] + row["loss"], (int, float)):
                raise TypeError("step and loss must be numbers")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"--run: line {number} of {path} is damaged: {line[:40]!r} is no row of metrics. "
                "Remove the line: only the log and the plot have it"
            ) from error
        rows.append(row)
    return rows


def plot_metrics(rows: list[dict[str, Any]], path: str, objective: str = "cross_entropy") -> None:
    """Plots losses and, on a second axis, `validation_cider` against `step`.

    The validation loss is shown if the training loss is of the same kind.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")  # leaves pyplot's global state alone
    left = figure.subplots()
    losses = [(row["step"], row["loss"]) for row in rows if "validation_cider" not in row]
    scores = [(row["step"], row["validation_cider"]) for row in rows if "validation_cider" in row]
    left.set(xlabel="step", ylabel=LOSSES[objective])
    lines = left.plot(*zip(*losses, strict=True), color="tab:blue", label="training loss")
    if scores and objective == "cross_entropy":
        losses = [(row["step"], row["validation_loss"]) for row in rows if "validation_loss" in row]
        lines += left.plot(
            *zip(*losses, strict=True), color="tab:green", marker=".", label="validation loss"
        )
    if scores:
        right = left.twinx()
        right.set_ylabel("validation CIDEr (greedy)")
        lines += right.plot(
            *zip(*scores, strict=True), color="tab:orange", marker="o", label="validation CIDEr"
        )
    left.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    left.grid(alpha=0.3)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with complete_or_absent(path) as temporary, file_named(path):
        figure.savefig(temporary, format="png", dpi=120)
