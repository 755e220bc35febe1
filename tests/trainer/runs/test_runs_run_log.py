import json

from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from trainer.runs.run_log import RunLog, plot_metrics, read_metrics


def test_rows_after_the_step_that_a_run_continues_from_are_taken_back(tmp_path):
    log = RunLog(str(tmp_path), 0)
    for step in (20, 40, 60):
        log.write({"step": step, "epoch": 1, "loss": 1.0 / step})
    log = RunLog(str(tmp_path), 40)
    log.write({"step": 60, "epoch": 1, "loss": 9.0})
    assert [(row["step"], row["loss"]) for row in read_metrics(str(tmp_path))] == [
        (20, 0.05), (40, 0.025), (60, 9.0),
    ]  # fmt: skip


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path):
    row = {"step": 20, "epoch": 1, "loss": 1.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n" + '{"step": 40, "lo')
    assert read_metrics(str(tmp_path)) == [row]


def test_the_plot_is_drawn_without_scores(tmp_path):
    rows = [{"step": 20, "epoch": 1, "loss": 2.0}, {"step": 40, "epoch": 1, "loss": 1.0}]
    plot_metrics(rows, str(tmp_path / "plots" / "loss.png"))
    assert (tmp_path / "plots" / "loss.png").stat().st_size > 5000


def test_the_plot_has_the_validation_loss_where_it_is_of_the_kind_of_the_training_loss(
    tmp_path, monkeypatch
):
    drawn = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **named: drawn.append(self) or savefig(
            self, *args, **named
        )
    )  # fmt: skip
    rows = [{"step": 20, "epoch": 1, "loss": 2.0}]
    rows += [{"step": 30, "epoch": 1, "loss": 1.9, "validation_cider": 5.0, "validation_loss": 1.5}]
    for objective in ("cross_entropy", "self_critical"):
        plot_metrics(rows, str(tmp_path / f"{objective}.png"), objective)
    assert [figure.axes[0].get_ylabel() for figure in drawn] == [
        "training loss (nats a word)",
        "training loss (minus the mean reward, CIDEr-D)",
    ]
    curves = [
        {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
        for figure in drawn
    ]
    training = {"training loss": [[20.0, 2.0]]}
    assert curves == [{**training, "validation loss": [[30.0, 1.5]]}, training]


def test_tensorboard_shows_each_step_once_after_a_kill(tmp_path):
    epoch = {"step": 60, "epoch": 1, "loss": 5.0, "validation_cider": 7.0, "seconds": 1.0}
    log = RunLog(str(tmp_path), 0)
    for step in (20, 40, 60):
        log.write({"step": step, "epoch": 1, "loss": 1.0 * step})
    log.write(epoch)
    log = RunLog(str(tmp_path), 40)  # what was written is there, though nothing was closed
    log.write({"step": 60, "epoch": 1, "loss": 9.0})
    log.write(epoch)
    shown = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={SCALARS: 0})
    shown.Reload()
    curves = {t: [(x.step, x.value) for x in shown.Scalars(t)] for t in shown.Tags()[SCALARS]}
    assert curves == {
        "loss": [(20, 20.0), (40, 40.0), (60, 9.0)],
        "epoch_loss": [(60, 5.0)], "validation_cider": [(60, 7.0)], "seconds": [(60, 1.0)],
    }  # fmt: skip
