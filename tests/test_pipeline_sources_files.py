"""Files: what is found, what is read, and that what cannot be is named."""

import json
import os

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
    first_line,
    is_directory,
    list_images,
    matching_files,
    read_image_bytes,
    read_json_list,
    read_lines,
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
    for path in (tmp_path / "empty", write(tmp_path / "file"), tmp_path / "nowhere"):
        assert not is_directory(str(path))
        with pytest.raises(InputError, match="does not exist or is empty") as error:
            check_directory(str(path))
        assert str(path) in str(error.value)


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
    reason = "does not exist" if "nowhere" in path else ".csv, .tsv"
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


def test_lines_keep_their_ends_and_the_bytes_that_are_not_utf8(tmp_path):
    path = write(tmp_path / "lines", b"\xef\xbb\xbfa\r\nb\rc\n\n caf\xe9\x85\xe7\x8a\xac\x0cd")
    assert list(read_lines(path)) == ["a\r\n", "b\rc\n", "\n", " caf\udce9\udc85犬\x0cd"]


def test_the_first_line_is_the_first_that_is_not_blank(tmp_path):
    assert first_line(write(tmp_path / "lines", "\n \r\n a b \nc\n")) == "a b"


@pytest.mark.parametrize("content", ["", "\n \r\n"])
def test_a_file_without_a_first_line_is_named(tmp_path, content):
    path = write(tmp_path / "lines", content)
    with pytest.raises(InputError, match="is empty") as error:
        first_line(path)
    assert path in str(error.value)


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


def read_list(tmp_path, content, name="images"):
    return list(read_json_list(write(tmp_path / "file.json", content), name))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=3),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=3), value),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.lists(VALUES, min_size=1, max_size=4),
    st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    st.booleans(),
)
def test_a_list_is_read_as_json_has_it(tmp_path_factory, entries, others, is_ascii):
    content = json.dumps({**others, "images": entries, "z": 1}, ensure_ascii=is_ascii)
    assert read_list(tmp_path_factory.getbasetemp(), content) == entries


def test_a_list_of_another_name_or_further_in_is_not_read(tmp_path):
    content = {"a": {"images": [1]}, "b": [{"images": [2]}], "images": [3], "c": [4]}
    assert read_list(tmp_path, json.dumps(content)) == [3]


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "3", '[{"images": [1]}]', '{"images": []}', '{"images": 3}', '{"x": [1]}'],
)
def test_a_file_without_the_list_is_named(tmp_path, content):
    with pytest.raises(InputError, match=r"file\.json must be a JSON object .* list 'images'"):
        read_list(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"images": [1, 2, 3',
        b'{"images": [1, 2, 3], "annotations": [4',
        b'{"images": [1, 2, 3]} and more',
        b'{"images": [1, 2, 3, NaN]}',
        b"{'images': [1]}",
        b'{"images": [1, 2, 3, "caf\xe9"]}',
        b'{"images": [1, 2, 3, "\\udce9"]}',
        b'{"images": [1, 2, 3, 1e99999999999999999999999]}',
    ],
)
def test_a_file_that_is_no_json_is_named_with_the_place(tmp_path, content):
    with pytest.raises(
        InputError, match=r"file\.json is no valid JSON: at or before byte"
    ) as error:
        read_list(tmp_path, content)
    assert f"byte {len(content)}, after" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_was_cut_off_gives_its_entries_before_the_error(tmp_path):
    entries = [{"id": n, "name": "x" * 100} for n in range(2000)]
    whole = json.dumps({"images": entries})
    path = write(tmp_path / "file.json", whole[: len(whole) // 2])
    found = []
    with pytest.raises(InputError, match=f"byte {len(whole) // 2}, after ") as error:
        for entry in read_json_list(path, "images"):
            found.append(entry)
    assert 900 < len(found) < 1100
    assert found == entries[: len(found)]
    assert f"after {len(found)} entries of 'images'" in str(error.value)


def test_the_beginning_of_a_long_list_is_read_without_its_end(tmp_path):
    start = '{"images": [' + ", ".join(["7"] * 100_000)
    path = write(tmp_path / "file.json", start)  # the end is missing, and not reached
    assert next(read_json_list(path, "images")) == 7
