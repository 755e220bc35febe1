"""The console script: the modules that its commands run, and what a wheel installs."""

import importlib.util
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

from import_graph import PACKAGES

from tfrecords_schema import beamcap
from trainer import command

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = (
    "import sys; sys.argv[0] = '/bin/beamcap'; from tfrecords_schema.beamcap import main; main()"
)


def run(*arguments):
    """`beamcap ARGUMENTS` in a process of its own: status, standard output, standard error."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout, result.stderr


def test_each_command_runs_its_module_with_the_arguments_that_it_reads(monkeypatch):
    ran = []
    monkeypatch.setattr(runpy, "run_module", lambda *a, **k: ran.append((a, k, [*sys.argv])))
    for name, module, argv in [
        ("build", "pipeline", ["beamcap build", "--x", "y"]),
        ("verify", "pipeline.verify", ["beamcap verify", "--x", "y"]),
        ("train", "trainer", ["beamcap", "train", "--x", "y"]),
        ("launch", "trainer", ["beamcap", "launch", "--x", "y"]),
        ("evaluate", "trainer", ["beamcap", "evaluate", "--x", "y"]),
        ("export", "trainer", ["beamcap", "export", "--x", "y"]),
        ("caption", "trainer", ["beamcap", "caption", "--x", "y"]),
    ]:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/beamcap", name, "--x", "y"])
        beamcap.main()
        assert ran[-1] == ((module,), {"run_name": "__main__"}, argv)
        assert importlib.util.find_spec(f"{module}.__main__"), module
    assert len(ran) == len(beamcap.COMMANDS)


def test_the_commands_of_the_trainer_are_all_there_in_the_same_words():
    ours = {name: what for name, (module, what) in beamcap.COMMANDS.items() if module == "trainer"}
    assert ours == {name: about.help for name, about in command.COMMANDS.items()}


def test_help_lists_the_commands_and_version_is_that_of_the_package():
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for name, (_, what) in beamcap.COMMANDS.items():
        assert f"\n  {name:<10}{what}\n" in out
    assert run("--version") == (0, "beamcap 0.1.0\n", "")
    assert run() == (2, "", out)


def test_an_unknown_command_is_one_line_and_status_2():
    for name in ("bild", "-v", "Train", "trainer"):
        status, out, err = run(name, "--help")
        assert (status, out) == (2, "") and err.count("\n") == 1
        assert err.startswith(f"error: {name!r} is no command, it must be one of: build, verify,")


def test_usage_and_errors_name_the_command_as_it_was_typed():
    status, out, _ = run("train", "--help")
    assert status == 0 and out.startswith("usage: beamcap train --data=DATA --run=RUN [flags]")
    status, _, err = run("train", "--data=d")
    assert (
        status == 2 and "beamcap train: error: the following arguments are required: --run" in err
    )
    status, _, err = run("evaluate", "--run=r", "--beam_width=0")
    assert (status, err) == (2, "error: --beam_width=0 must be at least 1\n")


def test_a_wheel_holds_every_module_and_the_programs(tmp_path):
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    # As from a checkout, without what stands beside the packages in this one.
    source = tmp_path / "source"
    for name in [*tree, "setup.py", "pyproject.toml"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", f"--wheel-dir={tmp_path}", str(source)],
        check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        programs = dict(
            line.split(" = ")
            for line in archive.read(points).decode().splitlines()
            if " = " in line
        )
    assert names == tree
    assert programs == {
        "beamcap": "tfrecords_schema.beamcap:main",
        "beamcap-worker": "pipeline.engines.worker_process:start",
    }
    for target in programs.values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name)), target
