"""What the environment does: a line, what is kept, status 2; a defect keeps its stack trace."""

import ctypes
import errno
import functools
import json
import os
import shlex
import shutil
import subprocess
import sys

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from commands import complaint

from pipeline.command import main
from pipeline.engines.beam_options import make_options
from pipeline.engines.local_processes import make_pipeline
from pipeline.engines.worker_failures import explain_failure
from tfrecords_schema.command_errors import errors_told
from tfrecords_schema.errors import InputError

FLAGS = ["--encoder=tiny", "--images_per_shard=8", "--min_count=2", "--max_rejected=0.05"]
DROP_RIGHT, ROOTS_RIGHTS = 24, (1, 2)  # PR_CAPBSET_DROP; CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def os_error(number, path="/out/x"):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO],
)
def test_failures_of_a_disk_are_told_in_the_words_of_the_system(number):
    told = explain_failure(os_error(number))
    assert os.strerror(number) in told and "/out/x" in told


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "/out/a; No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "/out/a; Disk quota exceeded"),
        tf.errors.PermissionDeniedError(None, None, "/out/a; Permission denied"),
        tf.errors.PermissionDeniedError(None, None, "/out/a; Read-only file system"),
        BeamIOError("Match failed", {"/out/a": os_error(errno.EACCES)}),
    ],
)
def test_failures_of_a_disk_are_found_in_errors_of_tensorflow_and_beam(error):
    assert "/out/a" in explain_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("No space left on device"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        tf.errors.InvalidArgumentError(None, None, "shapes differ"),
        RuntimeError("Permission denied"),
        RuntimeError(
            "Traceback (most recent call last):\n  x\nKeyError: 'No space left on device'"
        ),
        RuntimeError(
            "Traceback (most recent call last):\n  x\nOSError: [Errno 28] No space left on device\n"
            "\nDuring handling of the above exception, another exception occurred:\n\n"
            "Traceback (most recent call last):\n  y\nNameError: name 'y' is not defined"
        ),
    ],
)
def test_errors_that_are_no_failure_of_the_environment_are_not_explained(error):
    assert explain_failure(error) == ""


def raise_(make_error, _):
    raise make_error()


@pytest.mark.parametrize(
    ("make_error", "expected"),
    [
        (functools.partial(os_error, errno.ENOSPC), "[Errno 28] No space left on device: '/out/x'"),
        (functools.partial(os_error, errno.EACCES), "[Errno 13] Permission denied: '/out/x'"),
        (
            functools.partial(
                tf.errors.ResourceExhaustedError, None, None, "/out/x; No space left on device"
            ),
            "/out/x; No space left on device",
        ),
        (
            functools.partial(OSError, "Can't write: errno = 28, 'No space left on device'"),
            "Can't write: errno = 28, 'No space left on device'",
        ),
        (functools.partial(InputError, "--input: x is bad"), "--input: x is bad"),
    ],
)
@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_failures_within_a_worker_are_told_in_one_line_with_status_2(
    make_error, expected, mode, capsys
):
    with (
        pytest.raises(SystemExit) as stopped,
        errors_told(lambda: "all is kept", explain=explain_failure),
    ):
        run_in_worker(make_error, mode)
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].removesuffix("; all is kept") == f"error: {expected}"


@pytest.mark.parametrize("make_error", [lambda: KeyError("Permission denied"), lambda: 1 // 0])
@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_a_defect_within_a_worker_keeps_its_stack_trace(make_error, mode):
    with pytest.raises(Exception, match=r"Permission denied|by zero") as raised:
        run_in_worker(make_error, mode)
    assert explain_failure(raised.value) == ""


def run_in_worker(make_error, mode):
    with make_pipeline(make_options([f"--direct_running_mode={mode}"])) as pipeline:
        pipeline | beam.Create([0]) | beam.Map(functools.partial(raise_, make_error))


def test_a_defect_of_the_launcher_is_raised_and_not_told_in_one_line(
    pictures, tmp_path, monkeypatch, capsys
):
    def divide(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("pipeline.run.write_dataset", divide)
    with pytest.raises(ZeroDivisionError):
        main([f"--input={pictures}", f"--output={tmp_path / 'out'}"])
    assert capsys.readouterr().err == ""


def test_a_defect_ends_the_command_with_its_stack_trace_and_status_1(tmp_path):
    code = (
        "import runpy, pipeline.run\n"
        "pipeline.run.write_dataset = lambda *_, **__: 1 // 0\n"
        "runpy.run_module('pipeline', run_name='__main__')"
    )
    arguments = [sys.executable, "-c", code, "--input=in", f"--output={tmp_path / 'out'}"]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")


def one_line(result):
    """The line of an error, the only one besides those of the progress bar."""
    lines = result.stderr.splitlines()
    lines = [line for line in lines if line.strip() and "images to shards" not in line]
    assert (result.returncode, len(lines)) == (2, 1), result.stderr
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], PROCESSES])
def test_a_full_disk_is_told_in_a_line_and_the_same_command_goes_on(
    pictures, dataset, tmp_path, mode
):
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"]).returncode:
        pytest.skip("a small disk needs root, or a system that lets users mount one")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    flags = [*FLAGS, f"--input={pictures}", f"--output={disk / 'out'}"]
    command = shlex.join([sys.executable, "-m", "pipeline", *flags])
    script = (  # the disk is seen by these processes alone, and goes with them
        f"mount -t tmpfs -o size=3m tmpfs {disk} || exit 99\n"
        f"{command} {shlex.join(mode)}\nstatus=$?\n"
    )
    if mode == PROCESSES:
        script += f"cp -r {disk}/out {copy}\n"
    else:
        script += f"mount -o remount,size=100m {disk}\n"
        script += f"{command} >/dev/null 2>&1 && cp -r {disk}/out {copy}\n"
    script += "exit $status"
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True,
        env={name: os.environ[name] for name in os.environ if name != "TF_CPP_MIN_LOG_LEVEL"},
    )  # fmt: skip
    line = one_line(result)
    assert line.startswith("error: ") and "No space left on device" in line
    assert ".incomplete-" not in line
    assert f"kept in {disk / 'out'}; the same command goes on" in line
    assert (copy / "manifest.json").exists() == (mode != PROCESSES)


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_told_in_a_line(pictures, tmp_path):
    command = shlex.join(
        [sys.executable, "-m", "pipeline", *FLAGS, f"--input={pictures}", f"--output={tmp_path}/o"]
    )
    script = f"ulimit -f 200 && {command}"  # blocks of 512 bytes
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert "File too large" in one_line(result)


def without_roots_rights():
    """Root may write where it has no permission; a process without these rights may not."""
    if os.geteuid() == 0:
        for right in ROOTS_RIGHTS:
            if ctypes.CDLL(None, use_errno=True).prctl(DROP_RIGHT, right, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


# Runs the pipeline's command with each list of flags while a path has other rights.
ONE_AFTER_THE_OTHER = """
import json, os, sys
from tfrecords_schema.start_tensorflow import start_tensorflow
start_tensorflow()
from pipeline.command import main
for path, rights, flags in json.load(sys.stdin):
    before = os.stat(path).st_mode
    os.chmod(path, rights)
    try:
        main(flags)
    except SystemExit as stopped:
        print("status", stopped.code)
    os.chmod(path, before)
"""


@pytest.mark.slow
def test_a_missing_permission_is_told_in_a_line(pictures, dataset, tmp_path):
    """Of commands one after the other, in a process without the rights that root has."""
    begun, source = tmp_path / "begun", tmp_path / "source"
    shutil.copytree(dataset, begun)
    (begun / "manifest.json").unlink()
    shutil.copytree(pictures, source)
    new = tmp_path / "new"
    cases = [  # what may not be written or read, its rights, flags, what is kept
        (tmp_path / "parent", 0o555, {"output": tmp_path / "parent" / "out"}, ""),
        (tmp_path / "hidden", 0o000, {"output": tmp_path / "hidden"}, ""),
        (begun / "receipts", 0o555, {"output": begun, "images_per_shard": 24}, ""),
        (source / "Flickr8k.token.txt", 0o000, {"input": source}, ""),
        (source / "images", 0o000, {"input": source}, ""),
    ]
    commands = []
    for path, rights, changes, _ in cases:
        if not path.exists():
            path.mkdir()
        flags = {"input": pictures, "output": new} | changes
        commands.append((str(path), rights, [*FLAGS, *(f"--{k}={v}" for k, v in flags.items())]))
    result = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER], input=json.dumps(commands, default=str),
        capture_output=True, text=True, preexec_fn=without_roots_rights,
    )  # fmt: skip
    assert (result.returncode, result.stdout.count("status 2")) == (0, len(cases)), result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(cases) and "Traceback" not in result.stderr, result.stderr
    for line, (path, _, _, kept) in zip(lines, cases, strict=True):
        assert str(path) in line and "Permission denied" in line and kept in line, line


def test_the_lock_of_a_failed_job_is_given_back(pictures, tmp_path, monkeypatch, capsys):
    def fill(*_, **__):
        raise os_error(errno.ENOSPC)

    monkeypatch.setattr("pipeline.build.write_shards", fill)
    out = tmp_path / "out"
    error = complaint(main, capsys, *FLAGS, f"--input={pictures}", f"--output={out}")
    line = error.splitlines()[-1]
    assert line.startswith("error: /out/x: No space left on device; no shard is")
    assert line.endswith("the same command goes on")
    assert not (out / "receipts" / "owner.json").exists()
