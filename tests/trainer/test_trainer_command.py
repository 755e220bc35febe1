"""What a user does wrong at the command line: one clear line, status 2, no stack trace."""

import functools
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from trainer.command import main
from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
complaint = functools.partial(commands.complaint, main)


def test_bad_flags_are_named_with_what_would_be_right(capsys, tmp_path):
    for flags, expected in [
        (["--model=gpt"], ["--model", "'gpt'", "attend"]),
        (["--recipe=gpt"], ["--recipe", "'gpt'", "attend"]),
        (["--strategy=tpu"], ["--strategy", "'tpu'", "multiworker"]),
        (["--batch_size=0"], ["--batch_size=0", "at least 1"]),
        (["--readers=3"], ["--readers=3 must divide --batch_size=32"]),
        (["--epochs=many"], ["--epochs", "'many'"]),
        (["--seed=-1"], ["--seed=-1 must lie in 0 to 4294967295"]),
        (["--learning_rate=inf"], ["--learning_rate=inf must be finite"]),
        (["--run="], ["--run is empty, it must be a directory"]),
        (["--learning_rate=-1"], ["--learning_rate=-1.0", "more than 0"]),
        (["--output_dropout=1"], ["--output_dropout=1.0", "0 to 1"]),
        (["--label_smoothing=1.5"], ["--label_smoothing=1.5", "0 to 1"]),
        (["--units=0"], ["--units=0", "at least 1"]),
        (["--doubly_stochastic=-1"], ["--doubly_stochastic=-1.0", "at least 0"]),
        (["--model=transformer", "--jit_compile"], ["--jit_compile=True goes with --model=attend"]),
        (["--model=merge", "--doubly_stochastic=1"], ["attend or attend_after, not with", "merge"]),
        (["--samples=3"], ["--samples=3 goes with --objective=self_critical"]),
        (["--plateau_patience=3"], ["goes with --schedule=plateau, not with --schedule=cosine"]),
        (["--schedule=noam", "--warmup_steps=0"], ["--warmup_steps=0 must be at least 1"]),
        (["--objective=self_critical"], ["--objective=self_critical needs --initial_run"]),
        (["--recipe=self_critical"], ["--objective=self_critical needs --initial_run"]),
        (["--recipe=merge", "--objective=self_critical"], ["--recipe=merge does not go with"]),
        (["--lerning_rate=1"], ["--lerning_rate=1"]),
        (["--preset=icapnet"], ["--preset=icapnet"]),
    ]:
        error = complaint(
            capsys, "train", f"--data={tmp_path / 'none'}", f"--run={tmp_path / 'run'}", *flags
        )
        assert all(part in error for part in expected), (flags, error)
        assert not (tmp_path / "run").exists()


def test_a_gradient_may_go_unclipped():
    assert TrainConfig("d", "r", clip_norm=float("inf")).clip_norm == float("inf")


def test_missing_flags_and_commands_are_named(capsys):
    for command in ("train", "launch", "evaluate", "export", "caption", ""):
        assert "required" in complaint(capsys, *[command] * bool(command)), command


def test_flags_of_other_commands_than_train_are_named(capsys, tmp_path):
    run = f"--run={tmp_path}"
    for arguments, expected in [
        (("evaluate", run, "--beam_width=0"), "--beam_width=0"),
        (("evaluate", run, "--length_penalty=-1"), "--length_penalty=-1.0"),
        (("evaluate", run, "--split=dev"), "'dev' (choose from"),
        (("evaluate", run), "has no config.json: it is no beamcap run"),
        (("export", run, "--output=o", "--formats=jpeg,tiff"), "must be some of: jpeg,png,"),
        (("export", run, "--output=o", "--formats="), "must be some of: jpeg,png,"),
        (("export", run, "--output=o", "--max_words=0"), "--max_words=0"),
        (("launch", "--data=d", run, "--workers=0"), "--workers=0 must be at least 1"),
        (("launch", "--data=d", run, "--workers=3"), "must be a multiple of the 3 workers"),
        (("launch", "--data=d", run, "--strategy=one"), "workers have --strategy=multiworker"),
        (("caption", "--model=m", "--format=xml", "a.jpg"), "'xml' (choose from"),
        (("caption", "--model=m"), "required: images"),
    ]:
        assert expected in complaint(capsys, *arguments), arguments


def test_flags_are_read_before_tensorflow_is_imported():
    program = """
import contextlib, io, json, sys
from trainer.command import main
for arguments in json.load(sys.stdin):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(arguments)
    heavy = {"tensorflow", "keras", "numpy", "absl", "apache_beam"} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""
    commands = ("train", "launch", "evaluate", "export", "caption")
    lines = [[command, "--help"] for command in commands] + [["--help"], []]
    for command in ("train", "launch"):
        lines += [
            [command, "--data=d", "--run=r", *flags]
            for flags in (["--units=0"], ["--recipe=merge", "--cell=gpt"], ["--readers=3"],
                          ["--recipe=self_critical", "--initial_run=i", "--epochs=0"])
        ]  # fmt: skip
    lines += [["evaluate", "--run=r", "--beam_width=0"]]
    lines += [["export", "--run=r", "--output=o", "--formats=tiff"]]
    result = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(lines), cwd=ROOT, text=True,
        capture_output=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_help_takes_less_than_a_second():
    def seconds():  # of the processor: the time of a clock is that of other processes too
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = seconds()
    text = subprocess.check_output(
        [sys.executable, "-m", "trainer", "train", "--help"], cwd=ROOT, text=True
    )
    assert seconds() - before < 1
    assert text.startswith("usage: python -m trainer train --data=DATA --run=RUN [flags]")
    for group in ("data and run:", "model:", "optimization:", "regularization:", "devices:"):
        assert f"\n{group}\n" in text
    assert " ".join(text.split()).count("(default: ") > 40


def test_a_dataset_that_is_not_there_or_not_complete_is_named(capsys, tmp_path):
    error = complaint(capsys, "train", f"--data={tmp_path / 'no'}", f"--run={tmp_path / 'run'}")
    assert f"{tmp_path / 'no'} does not exist" in error
    error = complaint(capsys, "train", f"--data={tmp_path}", f"--run={tmp_path / 'run'}")
    assert "did not finish" in error


def test_a_tilde_is_the_home_directory(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    error = complaint(capsys, "train", "--data=~/no", "--run=~/run")
    assert f"{tmp_path / 'no'} does not exist" in error
    for arguments in (("evaluate", "--run=~/no"), ("export", "--run=~/no", "--output=~/out")):
        assert f"{tmp_path / 'no'} has no config.json" in complaint(capsys, *arguments)
    error = complaint(capsys, "caption", "--model=~/no", "a.jpg")
    assert str(tmp_path / "no") in error


def test_a_run_that_xla_cannot_compile_is_named(capsys, tmp_path, monkeypatch):
    config = TrainConfig(data="-", run="-", model="transformer")
    monkeypatch.setattr("trainer.trained_run.open_run", lambda run, data: (config, None))
    error = complaint(capsys, "evaluate", f"--run={tmp_path}", "--jit_compile")
    assert "--jit_compile=True goes with --model=attend" in error
    assert "not with --model=transformer" in error


@pytest.mark.parametrize("config", ["", "{", '{"cluster": {"worker": []}}'])
def test_multiworker_without_a_usable_tf_config_says_what_it_looks_like(
    dataset, capsys, tmp_path, monkeypatch, config
):
    monkeypatch.setenv("TF_CONFIG", config)
    error = complaint(
        capsys, "train", f"--data={dataset}", f"--run={tmp_path / 'run'}", "--strategy=multiworker"
    )
    assert "TF_CONFIG" in error and "host1:2222" in error
    assert os.environ["TF_CONFIG"] == config
