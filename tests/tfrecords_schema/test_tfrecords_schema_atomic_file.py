"""Files that are there whole or not at all."""

from pathlib import Path

import pytest
import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY, complete_or_absent, read_text, write_text


def write_file(path, text="new"):
    Path(path).write_text(text)


def write_directory(path, text="new"):
    (Path(path) / "inner").mkdir(parents=True)
    (Path(path) / "inner" / "file").write_text(text)


def content(path):
    return (path / "inner" / "file" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("write", [write_file, write_directory])
def test_a_file_is_there_after_the_block_that_writes_it(tmp_path, write):
    path = tmp_path / "it"
    with complete_or_absent(str(path)) as temporary:
        write(temporary)
        assert TEMPORARY in temporary
        assert not path.exists()
    assert content(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_file, write_directory])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_file_is_left_when_the_block_raises(tmp_path, write, error):
    with pytest.raises(error), complete_or_absent(str(tmp_path / "it")) as temporary:
        write(temporary)
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_first_error_is_raised_where_cleaning_up_fails_too(tmp_path, monkeypatch):
    def fail(*_):
        raise tf.errors.PermissionDeniedError(None, None, "cleaning")

    with pytest.raises(ZeroDivisionError), complete_or_absent(str(tmp_path / "it")) as temporary:
        write_file(temporary)
        monkeypatch.setattr(tf.io.gfile, "remove", fail)
        raise ZeroDivisionError


def test_raising_before_anything_is_written_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), complete_or_absent(str(tmp_path / "it")):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_file, write_directory])
def test_an_earlier_file_stays_when_the_block_raises(tmp_path, write):
    path = tmp_path / "it"
    write(path, "old")
    with pytest.raises(ValueError), complete_or_absent(str(path)) as temporary:
        write(temporary)
        raise ValueError
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_file, write_directory])
def test_an_earlier_file_is_replaced_after_the_block(tmp_path, write):
    path = tmp_path / "it"
    write(path, "old")
    with complete_or_absent(str(path)) as temporary:
        write(temporary)
        assert content(path) == "old"
    assert content(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_replaced_directory_are_gone(tmp_path):
    path = tmp_path / "it"
    write_directory(path)
    write_file(path / "leftover")
    with complete_or_absent(str(path)) as temporary:
        write_directory(temporary)
    assert [entry.name for entry in path.iterdir()] == ["inner"]


@pytest.mark.parametrize("write", [write_file, write_directory])
def test_a_block_that_writes_nothing_raises_and_takes_nothing_away(tmp_path, write):
    path = tmp_path / "it"
    write(path, "old")
    with pytest.raises(tf.errors.NotFoundError), complete_or_absent(str(path)):
        pass
    assert content(path) == "old"


def test_two_writers_of_one_path_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "it"
    with complete_or_absent(str(path)) as first:
        write_file(first, "first")
        with complete_or_absent(str(path)) as second:
            write_file(second, "second")
        assert content(path) == "second"
    assert content(path) == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_and_makes_its_directory(tmp_path):
    path = tmp_path / "new" / "deep" / "text"
    write_text(str(path), "café\r\n犬")
    assert path.read_bytes() == "café\r\n犬".encode()
    assert read_text(str(path)) == "café\r\n犬"
    assert list(path.parent.iterdir()) == [path]


def test_text_is_written_to_a_name_without_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text("name", "x")
    assert (tmp_path / "name").read_text() == "x"
