"""The output directory: one owner, what it may hold, what cannot be written to."""

import json
import os

import pytest
from commands import complaint
from small_pipeline import run

from pipeline.command import main
from pipeline.output_directory import hold_output
from tfrecords_schema.errors import InputError
from tfrecords_schema.owner_mark import new_mark, write_mark


def test_the_command_refuses_in_one_line(pictures, tmp_path, capsys):
    out = str(tmp_path / "out")
    with hold_output(out):
        flags = ["--input", pictures, "--output", out, "--encoder=tiny"]
        error = complaint(main, capsys, *flags)
    assert error.startswith(f"error: --output: another job writes to {out}: process {os.getpid()}")
    assert error.count("\n") == 1


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "out")
    with pytest.raises(InputError, match=f"{below} cannot be written to"), hold_output(below):
        raise AssertionError


def test_a_directory_that_holds_a_lock_alone_is_empty(pictures, tmp_path):
    out = tmp_path / "out"
    (out / "receipts").mkdir(parents=True)
    write_mark(str(out / "receipts" / "owner.json"), new_mark() | {"process_start": "1"})
    manifest = run(pictures, out, features="none")
    assert manifest.images("train") > 0
    assert not (out / "receipts" / "owner.json").exists()
    (tmp_path / "other" / "receipts").mkdir(parents=True)
    (tmp_path / "other" / "receipts" / "letter.json").write_text(json.dumps("mine"))
    with pytest.raises(InputError, match="not empty and holds no beamcap dataset"):
        run(pictures, tmp_path / "other", features="none")
