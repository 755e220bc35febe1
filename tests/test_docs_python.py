"""docs/python.md runs as it stands: as a script, and in a process whose event loop is running."""

import json
import os
import subprocess
import sys

import pytest
from doc_blocks import ROOT, blocks_of

PAGE = ROOT / "docs" / "python.md"
IN_EVENT_LOOP = """
import asyncio, contextlib, io, json, sys

import matplotlib

backend = dict.__getitem__(matplotlib.rcParams, "backend")
printed = io.StringIO()

async def notebook():
    cells, names = json.load(sys.stdin), {"print": lambda *_: None}
    with contextlib.redirect_stdout(printed):
        for cell in cells:
            exec(cell, names)

asyncio.run(notebook())
assert dict.__getitem__(matplotlib.rcParams, "backend") == backend
assert printed.getvalue() == "", printed.getvalue()
"""


def blocks():
    found = blocks_of(PAGE.read_text())
    assert not any(block.not_run for block in found)
    return found


def run(words, directory, **options):
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
    done = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def directory(tmp_path):
    """The directory where the page begins, with what its shell commands make."""
    for block in blocks():
        if block.language == "sh":
            run(["sh", "-ec", block.text], tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_blocks_are_a_script_without_a_main_guard(directory):
    script = directory / "script.py"
    script.write_text("\n".join(block.text for block in blocks() if block.language == "python"))
    output = run([sys.executable, str(script)], directory)
    assert "export/1" in output and "--epochs=0 must be at least 1" in output
    for name in ("dataset/manifest.json", "run/captions-test.json", "loss.png"):
        assert (directory / name).is_file()


@pytest.mark.slow
def test_the_blocks_are_cells_of_a_notebook_in_which_only_they_print(directory):
    cells = json.dumps([block.text for block in blocks() if block.language == "python"])
    run([sys.executable, "-c", IN_EVENT_LOOP], directory, input=cells)
