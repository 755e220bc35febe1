"""One owner of a directory: refusals, dead owners, other machines, races, lost locks."""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import tensorflow as tf

from tfrecords_schema import owner_lock
from tfrecords_schema.errors import InputError
from tfrecords_schema.owner_lock import hold_directory
from tfrecords_schema.owner_mark import new_mark, parse_mark, read_mark, write_mark

hold_output = functools.partial(hold_directory, flag="output", folder="receipts")

HOLD = """
import sys, time
from tfrecords_schema.owner_lock import hold_directory
with hold_directory(sys.argv[1], "output", "receipts"):
    print("held", flush=True)
    time.sleep(60)
"""
RACE = """
import contextlib, os, sys, time
from tfrecords_schema import owner_lock
from tfrecords_schema.errors import InputError
base, processes, rounds, in_store = sys.argv[1], *map(int, sys.argv[2:])
owner_lock.SETTLE_S = 1.5
for i in range(rounds):
    if i == rounds - in_store:
        owner_lock.alone_in = lambda folder: contextlib.nullcontext(False)
    print("ready", flush=True)
    input()
    directory = os.path.join(base, str(i))
    try:
        with owner_lock.hold_directory(directory, "output", "receipts"):
            open(os.path.join(directory, f"won-{os.getpid()}"), "x").close()
            while len(os.listdir(directory)) < processes + 1:  # until all have tried; and receipts
                time.sleep(0.01)
    except InputError:
        open(os.path.join(directory, f"refused-{os.getpid()}"), "x").close()
"""


@pytest.fixture(params=["local", "store"])
def directory(request, tmp_path, monkeypatch):
    """An output on a local disk, and one like in an object store, where the last writer wins."""
    if request.param == "store":
        monkeypatch.setattr(owner_lock, "alone_in", lambda folder: contextlib.nullcontext(False))
    return str(tmp_path / "out")


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    for name, seconds in (("BEAT_S", 0.1), ("EXPIRES_S", 1.0), ("SETTLE_S", 0.1), ("POLL_S", 0.05)):
        monkeypatch.setattr(owner_lock, name, seconds)


def owner_path(directory):
    return os.path.join(directory, "receipts", "owner.json")


def put_mark(directory, **changes):
    """A mark as another job would have left it."""
    tf.io.gfile.makedirs(os.path.join(directory, "receipts"))
    mark = new_mark() | changes
    write_mark(owner_path(directory), mark)
    return mark


def start(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return process


def test_a_second_job_is_told_who_has_it_since_when(directory):
    with hold_output(directory):
        with pytest.raises(InputError) as refused, hold_output(directory):
            raise AssertionError
        text = str(refused.value)
        assert f"--output: another job writes to {directory}: process {os.getpid()} on host" in text
        assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Wait for its end", text)
    assert not tf.io.gfile.exists(owner_path(directory))
    with hold_output(directory):
        assert tf.io.gfile.exists(owner_path(directory))


def test_a_lock_in_a_filesystem_that_only_tensorflow_knows_is_held_and_released():
    out = "ram://owner_lock/out"
    with hold_output(out), pytest.raises(InputError), hold_output(out):
        raise AssertionError
    assert not tf.io.gfile.exists(owner_path(out))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_lock_is_given_back_after_an_error(directory, error):
    with pytest.raises(error), hold_output(directory):
        raise error
    assert not tf.io.gfile.exists(owner_path(directory))


def test_a_lock_on_a_local_disk_is_taken_without_settling(tmp_path, monkeypatch):
    monkeypatch.setattr(owner_lock, "SETTLE_S", 60)
    before = time.monotonic()
    with hold_output(str(tmp_path)):
        assert time.monotonic() - before < 5


def test_a_job_that_lives_is_refused_and_one_that_was_killed_is_taken_over_at_once(tmp_path):
    process = start(HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    owner = f"process {process.pid} on host"
    with pytest.raises(InputError, match=owner), hold_output(str(tmp_path)):
        raise AssertionError
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.path.exists(owner_path(tmp_path))
    before = time.monotonic()
    with hold_output(str(tmp_path)):
        assert time.monotonic() - before < owner_lock.EXPIRES_S / 2


def test_a_mark_whose_number_another_process_has_now_is_taken_over_at_once(directory, capsys):
    put_mark(directory, process_start="1")
    with hold_output(directory):
        pass
    assert capsys.readouterr().out == ""


def test_a_silent_mark_of_another_machine_is_waited_for_and_taken_over(directory, capsys):
    put_mark(directory, machine="elsewhere", host="node7", pid=12)
    before = time.monotonic()
    with hold_output(directory):
        assert time.monotonic() - before >= owner_lock.EXPIRES_S
        assert parse_mark(read_mark(owner_path(directory)))["pid"] == os.getpid()
    line = capsys.readouterr().out
    assert f"Another job has begun to write to {directory}: process 12 on host node7" in line
    assert "1 seconds at most" in line and line.count("\n") == 1


def test_a_mark_of_another_machine_that_is_renewed_is_refused(directory):
    mark = put_mark(directory, machine="elsewhere", host="node7")
    later = functools.partial(write_mark, owner_path(directory), mark | {"renewed": 1})
    timer = threading.Timer(0.4, later)
    timer.start()
    with pytest.raises(InputError, match="on host node7"), hold_output(directory):
        raise AssertionError
    timer.join()
    assert parse_mark(read_mark(owner_path(directory)))["host"] == "node7"


def test_clocks_of_other_machines_do_not_count(directory):
    put_mark(directory, machine="elsewhere", since=time.time() + 1e6)
    with hold_output(directory):
        pass
    mark = put_mark(directory, machine="elsewhere", since=time.time() - 1e6)
    timer = threading.Timer(0.3, write_mark, [owner_path(directory), mark | {"renewed": 1}])
    timer.start()
    with pytest.raises(InputError, match="another job writes"), hold_output(directory):
        raise AssertionError
    timer.join()


def test_a_mark_that_cannot_be_read_is_waited_for(directory, capsys):
    tf.io.gfile.makedirs(os.path.join(directory, "receipts"))
    with tf.io.gfile.GFile(owner_path(directory), "wb") as file:
        file.write('{"token": "half')
    with hold_output(directory):
        pass
    assert "its mark cannot be read" in capsys.readouterr().out


def test_the_mark_is_renewed_and_comes_back_when_someone_removes_it(directory):
    with hold_output(directory):
        first = parse_mark(read_mark(owner_path(directory)))
        deadline = time.monotonic() + 10
        while parse_mark(read_mark(owner_path(directory))) == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        tf.io.gfile.remove(owner_path(directory))
        while not read_mark(owner_path(directory)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert parse_mark(read_mark(owner_path(directory)))["token"] == first["token"]
    assert not tf.io.gfile.exists(owner_path(directory))


def test_a_disk_that_is_full_for_a_time_does_not_end_the_job(tmp_path, monkeypatch):
    with hold_output(str(tmp_path)):
        with monkeypatch.context() as patch:
            patch.setattr(owner_lock, "write_mark", fail_with_full_disk)
            time.sleep(0.5)
        first = parse_mark(read_mark(owner_path(tmp_path)))
        time.sleep(0.5)
        assert parse_mark(read_mark(owner_path(tmp_path)))["renewed"] > first["renewed"]


def fail_with_full_disk(*_):
    raise OSError(28, os.strerror(28))


def test_a_job_that_was_taken_over_stops_and_leaves_the_other_its_mark(directory):
    before = time.monotonic()
    with pytest.raises(InputError) as stopped, hold_output(directory):
        put_mark(directory, machine="elsewhere", host="node7")
        time.sleep(30)  # which the interrupt ends
    assert time.monotonic() - before < 20
    assert f"another job has taken {directory} over" in str(stopped.value)
    assert "on host node7" in str(stopped.value)
    assert parse_mark(read_mark(owner_path(directory)))["host"] == "node7"


def test_a_lock_lost_in_a_thread_is_told_at_the_end(directory):
    errors = []

    def work():
        try:
            with hold_output(directory):
                put_mark(directory, machine="elsewhere")
                time.sleep(0.5)
        except InputError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1 and "has taken" in errors[0]


@pytest.mark.parametrize("start_with", ["nothing", "dead", "elsewhere"])
def test_one_of_many_threads_becomes_the_owner(tmp_path, start_with):
    if start_with != "nothing":
        changes = {"dead": {"process_start": "1"}, "elsewhere": {"machine": "elsewhere"}}
        put_mark(tmp_path, **changes[start_with])
    barrier, won, refused = threading.Barrier(8), [], []

    def work():
        barrier.wait()
        try:
            with hold_output(str(tmp_path)):
                won.append(1)
                time.sleep(2.5)
        except InputError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)


@pytest.mark.slow
def test_one_of_racing_processes_becomes_the_owner(tmp_path):
    rounds, in_store = 8, 4  # the last four as in an object store
    processes = [start(RACE, tmp_path, 3, rounds, in_store) for _ in range(3)]
    for i in range(rounds):
        if i % 2:  # a killed job had it
            put_mark(tmp_path / str(i), process_start="1")
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
        for process in processes:
            print(file=process.stdin, flush=True)
    for process in processes:
        process.communicate(timeout=60)
    for i in range(rounds):
        names = [name.split("-")[0] for name in os.listdir(tmp_path / str(i))]
        assert sorted(names) == ["receipts", "refused", "refused", "won"]
        assert os.listdir(tmp_path / str(i) / "receipts") == []
