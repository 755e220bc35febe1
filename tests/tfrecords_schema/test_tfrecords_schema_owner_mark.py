"""Marks of owners: written whole, read whatever is there, and who of them lives."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tfrecords_schema.owner_mark import (
    alone_in,
    is_running,
    name_owner,
    new_mark,
    parse_mark,
    read_mark,
    write_mark,
)


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_writing_a_mark_replaces_the_mark_that_was_there(tmp_path):
    path = str(tmp_path / "owner.json")
    assert read_mark(path) == ""
    for _ in range(2):
        mark = new_mark()
        write_mark(path, mark)
        assert parse_mark(read_mark(path)) == mark
    assert os.listdir(tmp_path) == ["owner.json"]


def test_a_mark_is_read_back_in_a_filesystem_that_only_tensorflow_knows():
    assert read_mark("ram://owner_mark/owner.json") == ""
    mark = new_mark()
    write_mark("ram://owner_mark/owner.json", mark)
    assert parse_mark(read_mark("ram://owner_mark/owner.json")) == mark


def test_a_reader_never_sees_half_a_mark(tmp_path):
    path, ended = str(tmp_path / "owner.json"), threading.Event()
    marks = [new_mark(), new_mark() | {"host": "h" * 5000}]
    write_mark(path, marks[0])

    def write():
        while not ended.is_set():
            for mark in marks:
                write_mark(path, mark)

    thread = threading.Thread(target=write)
    thread.start()
    assert all(parse_mark(read_mark(path)) in marks for _ in range(500))
    ended.set()
    thread.join()


def test_writers_do_not_take_each_others_files(tmp_path):
    path = str(tmp_path / "owner.json")

    def write(mark):
        for _ in range(300):
            write_mark(path, mark)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [new_mark() for _ in range(4)]))
    assert os.listdir(tmp_path) == ["owner.json"]


def test_two_marks_of_one_process_differ():
    assert new_mark()["token"] != new_mark()["token"]


@pytest.mark.parametrize("text", ["", "{", '{"token": "a', "[1]", "\N{REPLACEMENT CHARACTER}"])
def test_half_a_mark_has_no_fields_and_is_of_an_unknown_process(text):
    assert parse_mark(text) == {}
    assert is_running(parse_mark(text)) is None
    assert name_owner(text) == "its mark cannot be read"


def test_a_process_is_running_until_it_has_ended(child):
    assert is_running(new_mark()) is True
    mark = new_mark() | {"pid": child.pid, "process_start": start_by_ps(child.pid)}
    assert is_running(mark) is True
    child.kill()
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is None:
        time.sleep(0.01)
    assert is_running(mark) is False  # a zombie, which nobody has asked for yet
    child.wait()
    assert is_running(mark) is False


def start_by_ps(pid):
    """Ticks since the machine's start, by the kernel's documentation: field 22, after the name."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split(") ")[-1].split()[22 - 3]


def test_a_number_that_is_used_again_is_another_process():
    mark = new_mark()
    assert is_running(mark | {"process_start": str(int(mark["process_start"]) - 1)}) is False


@pytest.mark.parametrize(
    "change",
    [{"machine": "elsewhere"}, {"machine": None}, {"pid": "12"}, {"process_start": ""}],
)
def test_nobody_knows_whether_a_mark_of_another_machine_or_without_a_start_lives(change):
    assert is_running(new_mark() | change) is None


def test_the_name_of_an_owner_has_process_host_and_time():
    mark = new_mark() | {"since": 1795895772.5, "host": "node7", "pid": 4711}
    text = str(mark).replace("'", '"')
    assert name_owner(text) == "process 4711 on host node7, since 2026-11-28 19:56:12 UTC"


def test_one_process_at_a_time_is_alone_in_a_local_directory(tmp_path):
    with alone_in(str(tmp_path)) as is_alone:
        assert is_alone
        code = f"import os, fcntl; fcntl.flock(os.open({str(tmp_path)!r}, 0), {6})"  # EX | NB
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "BlockingIOError" in result.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_nobody_is_alone_in_an_object_store():
    with alone_in("ram://owner_mark") as is_alone:
        assert not is_alone
