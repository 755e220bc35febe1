"""What a user does wrong at the command line: one clear line, status 2, no stack trace."""

import dataclasses
import functools
import json

import commands
import pytest

from trainer.command import main
from trainer.config import TrainConfig

complaint = functools.partial(commands.complaint, main)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model=gpt"], ["--model", "'gpt'", "attend"]),
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
        (["--doubly_stochastic=-1"], ["--doubly_stochastic=-1.0", "0 or more"]),
        (["--model=transformer", "--jit_compile"], ["--jit_compile=True is", "not of transformer"]),
        (["--model=merge", "--doubly_stochastic=1"], ["attend and attend_after, not of merge"]),
        (
            ["--objective=self_critical", "--initial_run=r", "--word_dropout=0.1"],
            ["--word_dropout=0.1 is of --objective=cross_entropy"],
        ),
        (["--lerning_rate=1"], ["--lerning_rate=1"]),
    ],
)
def test_a_bad_flag_is_named_with_what_would_be_right(dataset, capsys, tmp_path, flags, expected):
    error = complaint(capsys, "train", f"--data={dataset}", f"--run={tmp_path / 'run'}", *flags)
    for part in expected:
        assert part in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "export", "caption", ""])
def test_missing_flags_and_commands_are_named(capsys, command):
    error = complaint(capsys, *[command] * bool(command))
    assert "required" in error


def test_a_dataset_that_is_not_there_or_not_complete_is_named(capsys, tmp_path):
    error = complaint(capsys, "train", f"--data={tmp_path / 'no'}", f"--run={tmp_path / 'run'}")
    assert f"{tmp_path / 'no'} does not exist" in error
    error = complaint(capsys, "train", f"--data={tmp_path}", f"--run={tmp_path / 'run'}")
    assert "did not finish" in error


def test_a_tilde_is_the_home_directory(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    error = complaint(capsys, "train", "--data=~/no", "--run=~/run")
    assert f"{tmp_path / 'no'} does not exist" in error


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("--beam_width=0", "--beam_width=0"), ("--length_penalty=-1", "--length_penalty=-1.0")],
)
def test_a_bad_search_is_named(trained_run, capsys, flag, expected):
    assert expected in complaint(capsys, "evaluate", f"--run={trained_run}", flag)


def test_a_run_that_xla_cannot_compile_is_named(capsys, tmp_path):
    fields = dataclasses.asdict(TrainConfig(data="-", run="-", model="transformer"))
    (tmp_path / "config.json").write_text(json.dumps({**fields, "dataset": {}}))
    error = complaint(capsys, "evaluate", f"--run={tmp_path}", "--jit_compile")
    assert "--jit_compile=True is of --model=attend" in error and "not of transformer" in error


@pytest.mark.parametrize("config", ["", "{", '{"cluster": {"worker": []}}'])
def test_multiworker_without_a_usable_tf_config_says_what_it_looks_like(
    dataset, capsys, tmp_path, monkeypatch, config
):
    monkeypatch.setenv("TF_CONFIG", config)
    error = complaint(
        capsys, "train", f"--data={dataset}", f"--run={tmp_path / 'run'}", "--strategy=multiworker"
    )
    assert "TF_CONFIG" in error and "host1:2222" in error
