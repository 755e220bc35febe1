"""Ctrl-C and SIGTERM at any moment: a line, a status, no stack trace, nothing that goes on."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tfrecords_schema import stop_signals

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def start(pictures, out, *flags):
    command = [
        sys.executable, "-m", "pipeline", f"--input={pictures}", f"--output={out}",
        "--encoder=tiny", "--images_per_shard=4", "--min_count=2", "--max_rejected=0.05", *flags,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_until(is_so, process):
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


def listens(process):
    """Whether a handler of SIGTERM is in place; Python has none of its own."""
    with open(f"/proc/{process.pid}/status") as file:
        caught = int(re.search(r"^SigCgt:\s*(\w+)", file.read(), re.MULTILINE)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


def ended(process, number):
    """The one line of the process, which ends within seconds, with all that it has started."""
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    _, error = process.communicate(timeout=20)
    assert process.returncode == STATUS[number]
    assert psutil.wait_procs(children, timeout=2)[1] == []
    lines = [line for line in error.splitlines() if line and "images to shards" not in line]
    assert len(lines) == 1, error
    return lines[0]


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_while_modules_are_imported_ends_in_one_line(tmp_path, number):
    process = start("in", tmp_path / "out")
    wait_until(lambda: listens(process), process)
    line = ended(process, number)
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert line == f"{word}: nothing was changed yet; the same command goes on"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_while_captions_are_counted_ends_in_one_line(pictures, tmp_path, number):
    process = start(pictures, tmp_path / "out")
    while not process.stdout.readline().startswith("Reading captions"):
        assert process.poll() is None
    line = ended(process, number)
    assert f"no shard is complete yet in {tmp_path / 'out'}; the same command goes on" in line
    assert not (tmp_path / "out" / "receipts" / "owner.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "flags"), [(signal.SIGINT, []), (signal.SIGTERM, PROCESSES)])
def test_a_signal_while_shards_are_written_tells_the_complete_shards(
    pictures, tmp_path, number, flags
):
    out = tmp_path / "out"
    process = start(pictures, out, "--encoder=mobilenet_v2", "--encoder_weights=random", *flags)
    wait_until(lambda: list(out.glob("receipts/captions-*.json")), process)
    line = ended(process, number)
    complete = len(list(out.glob("receipts/captions-*.json")))
    kept = f"{complete} complete {'shard is' if complete == 1 else 'shards are'} kept in {out}"
    assert line.endswith(f"ed: {kept}; the same command goes on")
    assert not (out / "receipts" / "owner.json").exists()


def test_a_signal_that_is_ignored_stays_ignored():
    """As of a job that a shell has put in the background, or of nohup."""
    code = (
        "import signal\n"
        "from tfrecords_schema import stop_signals\n"
        "stop_signals.listen()\n"
        "print('ready', flush=True)\n"
        "input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.communicate("\n")
    assert process.returncode == 0


def test_the_first_signal_may_be_for_a_callback_and_a_second_one_ends():
    code = (
        "import signal, sys, time\n"
        "from tfrecords_schema import stop_signals\n"
        "stop_signals.listen(status=75)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"  # as a library does
        "asks = stop_signals.first_signal(lambda: print('asked', flush=True))\n"
        "with asks, stop_signals.kept(lambda: 'all is kept'):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(float(sys.argv[1]))\n"
        "print('over', flush=True)\n"
        "time.sleep(60)"
    )
    for seconds, numbers, end in (
        ("60", [signal.SIGTERM, signal.SIGINT], (130, "interrupted: all is kept\n")),
        ("60", [signal.SIGINT, signal.SIGTERM], (143, "terminated: all is kept\n")),
        ("0", [signal.SIGINT], (75, "interrupted: nothing was changed yet; the same command ")),
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", code, seconds],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        if seconds == "0":
            assert process.stdout.readline() == "over\n"
        process.send_signal(numbers[0])
        if len(numbers) == 2:
            assert process.stdout.readline() == "asked\n"
            process.send_signal(numbers[1])
        error = process.communicate(timeout=20)[1]
        assert (process.returncode, error[: len(end[1])]) == end


def test_an_end_does_not_wait_for_threads_and_calls_what_it_was_given():
    code = (
        "import threading, time\n"
        "from tfrecords_schema import stop_signals\n"
        "stop_signals.listen()\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "with stop_signals.at_end(lambda: print('second')):\n"
        "    with stop_signals.at_end(lambda: 1 // 0):\n"
        "        with stop_signals.at_end(lambda: print('first')):\n"
        "            stop_signals.end(7, 'a line')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (result.returncode, result.stdout, result.stderr) == (7, "first\nsecond\n", "a line\n")


def test_a_process_that_does_not_listen_ends_as_python_does(capsys):
    with pytest.raises(SystemExit) as stopped, stop_signals.at_end(lambda: 1 // 0):
        stop_signals.end(3, "a line")
    assert stopped.value.code == 3
    assert capsys.readouterr().err == "a line\n"
    assert not stop_signals.is_listening()
