import json

from trainer.report import RunLog, plot_metrics, read_metrics


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


def test_the_plot_needs_no_scores_yet(tmp_path):
    rows = [{"step": 20, "epoch": 1, "loss": 2.0}, {"step": 40, "epoch": 1, "loss": 1.0}]
    plot_metrics(rows, str(tmp_path / "plots" / "loss.png"))
    assert (tmp_path / "plots" / "loss.png").stat().st_size > 5000
