"""Files: what is found, what is read, and that what cannot be is named."""

import os
import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.files import (
    byte_range,
    check_directory,
    check_no_wildcards,
    find_files,
    first_directory,
    first_file,
    is_directory,
    join_path,
    list_images,
    matching_files,
    read_image_bytes,
    same_path,
    walk_files,
)
from tfrecords_schema.errors import InputError


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def write_all(directory, *names):
    return [write(directory / name) for name in names]


@pytest.mark.parametrize("name", ["a.jpg", "deep/er/a.jpg"])
def test_a_directory_is_one_where_a_file_lies_somewhere_below(tmp_path, name):
    write(tmp_path / "data" / name)
    assert is_directory(str(tmp_path / "data"))
    check_directory(str(tmp_path / "data"))


def test_an_empty_directory_a_file_and_nothing_are_no_directories(tmp_path):
    (tmp_path / "empty" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    problems = {
        tmp_path / "empty": "is there, but has no file in it",
        write(tmp_path / "file"): "is a file",
        tmp_path / "nowhere": "does not exist",
        tmp_path / "link": f"is a link to {tmp_path / 'gone'}, which does not exist",
    }
    for path, problem in problems.items():
        assert not is_directory(str(path))
        with pytest.raises(InputError, match=problem) as error:
            check_directory(str(path))
        assert str(path) in str(error.value)


def test_a_directory_of_links_is_one_and_its_links_are_its_files(tmp_path):
    write_all(tmp_path / "disk" / "train2014", "a.jpg", "b.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "disk" / "train2014")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c.jpg").symlink_to(tmp_path / "disk" / "train2014" / "a.jpg")
    assert is_directory(str(tmp_path / "data"))
    assert [name for name, _ in list_images(str(tmp_path / "data" / "train"))] == ["a.jpg", "b.jpg"]
    assert [name for name, _ in list_images(str(tmp_path / "links"))] == ["c.jpg"]
    assert len(list(walk_files(str(tmp_path / "data")))) == 2
    assert len(find_files(str(tmp_path / "data" / "*" / "*.jpg"), (".jpg",))) == 2


@pytest.mark.parametrize(
    "directory, path, joined",
    [
        ("d", "a.jpg", "d/a.jpg"),
        ("d/", "./x/../a.jpg", "d/a.jpg"),
        ("d", "../a//b.jpg", "d/../a/b.jpg"),
        ("d", "/x/./a.jpg", "/x/a.jpg"),
        ("d", "gs://b/.//a.jpg", "gs://b/.//a.jpg"),
        ("gs://b/d", "./x/a.jpg", "gs://b/d/x/a.jpg"),
        ("", "x/a.jpg", "x/a.jpg"),
    ],
)
def test_a_path_is_joined_and_has_one_form(directory, path, joined):
    assert join_path(directory, path) == joined


def test_paths_that_lead_to_one_file_are_the_same():
    assert same_path("d/../a//b.jpg") == same_path("./a/b.jpg") == "a/b.jpg"
    assert same_path("/a/./b/") == same_path("/a/b") == "/a/b"
    assert same_path("gs://b/x//a") == "gs://b/x//a"  # of a bucket these are two


@given(st.text("./ab", min_size=1, max_size=8))
def test_the_one_form_of_a_path_is_that_of_the_library(path):
    assert same_path(path) == posixpath.normpath(path)


def test_a_directory_without_tables_of_its_own_stands_for_those_in_its_folders(tmp_path):
    write_all(tmp_path, "train/a.csv", "test/a.csv", "test/b.jpg")
    assert find_files(str(tmp_path), (".csv",)) == [
        str(tmp_path / "test" / "a.csv"), str(tmp_path / "train" / "a.csv"),
    ]  # fmt: skip
    write(tmp_path / "c.csv")
    assert find_files(str(tmp_path), (".csv",)) == [str(tmp_path / "c.csv")]


@pytest.mark.parametrize("check", [check_directory, check_no_wildcards])
@pytest.mark.parametrize("name", ["my*", "my?", "my[1]"])
def test_wildcards_are_refused(tmp_path, check, name):
    write(tmp_path / name / "a.jpg")
    with pytest.raises(InputError, match="takes as wildcards") as error:
        check(str(tmp_path / name))
    assert str(error.value).startswith("--input: ")


@pytest.mark.parametrize("path", ["my*", "nowhere", "nowhere://images"])
def test_the_flag_that_names_a_directory_is_named(path):
    with pytest.raises(InputError, match=r"^--image_directory: .*(my\*|nowhere)"):
        check_directory(path, "--image_directory")


def test_the_first_of_several_names_is_taken(tmp_path):
    write_all(tmp_path, "b/x", "c/x", "d", "e")
    directory = str(tmp_path)
    assert first_directory(directory, ["a", "d", "c", "b"]) == os.path.join(directory, "c")
    assert first_directory(directory, ["a", "d"]) is None
    assert first_file(directory, ["a", "e", "d"]) == os.path.join(directory, "e")
    assert first_file(directory, ["a"]) is None


def test_files_are_matched_in_one_directory_and_sorted(tmp_path):
    write_all(tmp_path, "b_2.json", "b_1.json", "a.json", "deep/b_3.json")
    expected = [os.path.join(tmp_path, name) for name in ("b_1.json", "b_2.json")]
    assert matching_files(str(tmp_path), "b_*.json") == expected
    assert matching_files(str(tmp_path / "nowhere"), "*") == []


def test_an_input_is_a_file_a_pattern_or_a_directory_of_files(tmp_path):
    one, two, *_ = write_all(tmp_path, "a-1.csv", "a-2.CSV", "b.tsv", "c.txt", "deep/d.csv")
    assert find_files(one, (".csv",)) == [one]
    assert find_files(str(tmp_path / "a-*"), (".csv",)) == [one, two]
    assert find_files(str(tmp_path / "a-?.csv"), (".csv",)) == [one]
    assert find_files(str(tmp_path / "a-[12]*"), (".csv",)) == [one, two]
    assert find_files(str(tmp_path), (".csv", ".tsv")) == [one, two, str(tmp_path / "b.tsv")]


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.csv", "c.txt", "deep", "x://y", "x://y/*"])
def test_an_input_without_files_of_its_kind_is_named(tmp_path, path):
    write_all(tmp_path, "c.txt", "deep/c.txt")
    path = path if ":" in path else str(tmp_path / path)
    with pytest.raises(InputError) as error:
        find_files(path, (".csv", ".tsv"))
    assert str(error.value).startswith(f"--input: {path}")
    reasons = {"nowhere": "does not exist", "nowhere/*.csv": "matches no file"}
    reason = reasons.get(str(path).removeprefix(f"{tmp_path}/"), ".csv, .tsv")
    assert ":/" in path or reason in str(error.value)


def test_only_image_files_directly_in_the_directory_are_listed(tmp_path):
    images = ["a.jpg", "B.JPEG", "c.Png", "d.gif", "e.bmp", "犬.jpg", "f g.jpg", "h#1[2].jpg"]
    others = ["notes.txt", "a.jpg.part", "jpg", ".DS_Store", "deep/i.jpg", "j.jpg/k"]
    write_all(tmp_path, *images, *others)
    listed = dict(list_images(str(tmp_path)))
    assert listed == {name: os.path.join(tmp_path, name) for name in images}


def test_an_image_file_whose_name_is_not_utf8_is_listed_in_a_form_that_can_be_written(tmp_path):
    write(tmp_path / os.fsdecode(b"caf\xe9.jpg"))
    [(name, path)] = list_images(str(tmp_path))
    assert name == "caf\\xe9.jpg"
    path.encode("utf-8")


NAMES = ["a.jpg", "b#bytes=1.jpg", "c#bytes=0-1.jpg", "#bytes=", "d\n.jpg", "e.gz", "f.bz2"]


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_a_whole_file_are_read_as_they_are_whatever_its_name(tmp_path, name):
    content = bytes(range(256))
    assert read_image_bytes(write(tmp_path / name, content)) == content


@settings(deadline=None)
@given(st.data(), st.binary(max_size=30), st.sampled_from(NAMES))
def test_a_range_gives_its_bytes(tmp_path_factory, data, content, name):
    path = write(tmp_path_factory.getbasetemp() / name, content)
    first = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content) - first))
    assert read_image_bytes(byte_range(path, first, length)) == content[first : first + length]


def test_a_range_names_its_first_and_last_byte_as_in_http():
    assert byte_range("a.tar", 512, 10) == "a.tar#bytes=512-521"


@pytest.mark.parametrize("first, length", [(0, 11), (9, 2), (10, 1), (100, 5)])
def test_a_file_that_ends_before_its_range_is_an_error_that_names_it(tmp_path, first, length):
    path = write(tmp_path / "a.tar", bytes(10))
    with pytest.raises(OSError, match=f"ends before byte {first + length - 1}$") as error:
        read_image_bytes(byte_range(path, first, length))
    assert path in str(error.value)


@pytest.mark.parametrize("span", ["", "#bytes=0-3"])
def test_a_missing_file_is_an_error(tmp_path, span):
    with pytest.raises(OSError):
        read_image_bytes(str(tmp_path / "a.jpg") + span)
