"""JSON files: their lists as streams, and the place where they are broken."""

import gzip
import json
import re
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.sources.json_files import NoListError, read_json_list
from pipeline.sources.text_files import CHUNK
from tfrecords_schema.errors import InputError


def write(path, content=b"x"):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read_list(directory, content, name="images"):
    return list(read_json_list(write(directory / "file.json", content), name))


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
    directory = tmp_path_factory.getbasetemp()
    content = json.dumps({**others, "images": entries, "z": 1}, ensure_ascii=is_ascii)
    assert read_list(directory, content) == entries
    assert read_list(directory, json.dumps(entries, ensure_ascii=is_ascii), "") == entries


ODD_TEXT = st.lists(
    st.sampled_from(["NaN", "-Infinity", "Infinity", "N", "a", '"', "\\", ":", " ", "é"])
).map("".join)
ODD_VALUES = st.recursive(
    st.sampled_from([float("nan"), float("inf"), -float("inf"), None, 7]) | ODD_TEXT,
    lambda value: st.lists(value, max_size=4) | st.dictionaries(ODD_TEXT, value, max_size=3),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ODD_VALUES, min_size=1, max_size=6), st.integers(1, 20), st.booleans())
@example([float("nan"), 'a"NaN', float("inf"), -float("inf"), "\\NaN\\\\"], 1, True)
def test_numbers_that_json_lacks_are_null_wherever_chunks_end(
    tmp_path_factory, entries, size, is_ascii
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.sources.text_files.CHUNK", size)
        content = json.dumps({"NaN": [], "images": entries}, ensure_ascii=is_ascii)
        expected = json.loads(content, parse_constant=lambda name: None)["images"]
        assert read_list(tmp_path_factory.getbasetemp(), content) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_in_utf16_or_compressed_reads_the_same(tmp_path, encoding):
    entries = [{"name": "犬 😀 caf\u00e9", "size": i} for i in range(5000)]
    content = json.dumps({"images": entries}, ensure_ascii=False).encode(encoding)
    assert read_list(tmp_path, content) == entries
    path = write(tmp_path / "file.json.gz", gzip.compress(content))
    assert list(read_json_list(path, "images")) == entries


def test_a_list_of_another_name_or_further_in_is_not_read(tmp_path):
    content = {"a": {"images": [1]}, "b": [{"images": [2]}], "images": [3], "c": [4]}
    assert read_list(tmp_path, json.dumps(content)) == [3]


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "3", '[{"images": [1]}]', '{"images": []}', '{"images": 3}', '{"x": [1]}'],
)
def test_a_file_without_the_list_is_named(tmp_path, content):
    with pytest.raises(NoListError, match=r"file\.json must be a JSON object .* list 'images'"):
        read_list(tmp_path, content)


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"item": [1]}', '{"item": 1}', " "])
def test_a_file_that_is_no_list_is_named(tmp_path, content):
    with pytest.raises(InputError, match=r"file\.json .*(JSON list|the file ends there)"):
        read_list(tmp_path, content, name="")


def test_an_empty_file_is_named(tmp_path):
    for content in (b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        with pytest.raises(InputError, match=r"file\.json is empty"):
            read_list(tmp_path, content)


def place(message):
    found = re.search(r"no valid JSON: line (\d+), column (\d+) \(byte (\d+)\), after", message)
    return tuple(map(int, found.groups()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    "content",  # with ^ before the fault
    [
        '{"images": [1, 2, ^3',
        '{"images": [1, 2, 3], "annotations": [^4',
        '{"images": [1, 2, 3]} ^and more',
        '{"images": [1]}^{"images": [2]}',
        "{^'images': [1]}",
        '{"images": [1, "犬" ^"no comma"]}',
        '{"images": [1 ^23456]}',
        '{"images": [{"id": 1}\n\n ^{"id": 2}]}',
        '{"images":\n[1,\n2^;]}',
        '{"images":\r\n[1,\r\n^]}',
        '{"images": [1, ^tru]}',
        '{"images": [1, ^nulls]}',
        '{"images": [1, 0^.]}'.replace("0^", "^0"),
        '{"images": [1, ^-NaN]}',
        '{"images": [1, NaN, Infinity, "NaN", -Infinity, NaN ^NaN]}',
        '{"images": [{"a": NaN^ "b": 1}]}'.replace("^ ", " ^"),
        '{"images": [{"a": 1, ^b: 2}]}',
        '{"images": [{"a"^, 2}]}',
        '{"images": [1, ^1e99999999999999999999999]}',
        '{"images": [1, "a^\nb"]}',
        '{"images": [1, "a ^\\x"]}',
        '{"images": [1, "😀 \\\\udce9 \\ud83d\\ude00 ^\\udce9"]}',
        '{"images": [1, ^/* no */ 2]}',
    ],
)
def test_a_file_that_is_no_json_is_named_with_the_place(tmp_path, content, encoding):
    before = content.partition("^")[0]
    with pytest.raises(InputError, match=r"file\.json is no valid JSON") as error:
        read_list(tmp_path, content.replace("^", "").encode(encoding))
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert place(str(error.value)) == (line, column, len(before.encode(encoding)) + 1)
    assert re.search(r", after [0-6] entries of 'images': \w", str(error.value))
    assert "\n" not in str(error.value) and "\\n" not in str(error.value)


def test_bytes_that_are_not_utf8_are_named_with_their_place(tmp_path):
    for end in (b'"]}', b'\xa9", 7]}'):
        content = b'{"images": ["\xc3\xa9",\n "caf\xe9' + end
        with pytest.raises(InputError, match=r"after 1 entries .* UTF8") as error:
            read_list(tmp_path, content)
        assert place(str(error.value)) == (2, 6, content.index(b"\xe9" + end) + 1)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(ODD_VALUES, min_size=1, max_size=6),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.data(),
)
def test_the_place_of_a_fault_is_found_wherever_chunks_end(
    tmp_path_factory, entries, size, is_ascii, indent, data
):
    content = json.dumps({"images": entries}, ensure_ascii=is_ascii, indent=indent)
    # Where a character that JSON has not goes: after a token, by Python's own reader of strings.
    ends = [m.end() for m in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{},:]', content)]
    at = data.draw(st.sampled_from(ends))
    broken = content[:at] + "@" + content[at:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.sources.text_files.CHUNK", size)
        with pytest.raises(InputError) as error:
            read_list(tmp_path_factory.getbasetemp(), broken)
    with pytest.raises(json.JSONDecodeError) as truth:
        json.loads(broken)
    expected = (truth.value.lineno, truth.value.colno, len(broken[:at].encode()) + 1)
    assert place(str(error.value)) == expected


def test_a_file_that_was_cut_off_gives_its_entries_before_the_error(tmp_path):
    entries = [{"id": n, "name": "x" * 100} for n in range(2000)]
    whole = json.dumps({"images": entries})
    path = write(tmp_path / "file.json", whole[: len(whole) // 2])
    found = []
    with pytest.raises(InputError, match="the file ends there, was it cut off") as error:
        for entry in read_json_list(path, "images"):
            found.append(entry)
    assert place(str(error.value)) == (1, len(whole) // 2, len(whole) // 2)
    assert 900 < len(found) < 1100
    assert found == entries[: len(found)]
    assert f"after {len(found)} entries of 'images'" in str(error.value)


def test_a_fault_far_into_a_file_of_many_lines_is_found(tmp_path):
    entries = [json.dumps({"id": n, "name": "犬" * 50}, ensure_ascii=False) for n in range(3000)]
    entries[2500] = entries[2500].replace(":", "=", 1)
    content = '{"images": [\n' + ",\n".join(entries) + "\n]}"
    with pytest.raises(InputError, match="after 2500 entries") as error:
        read_list(tmp_path, content)
    fault = len(content[: content.index("=")].encode()) + 1
    assert fault > 3 * CHUNK and place(str(error.value)) == (2502, 6, fault)


def test_a_gz_file_that_was_cut_off_is_named(tmp_path):
    content = gzip.compress(json.dumps({"images": list(range(10**5))}).encode())
    path = write(tmp_path / "file.json.gz", content[: len(content) // 2])
    with pytest.raises(InputError, match=r"file\.json\.gz: after byte \d+: the file is cut off"):
        list(read_json_list(path, "images"))


def test_the_beginning_of_a_long_list_is_read_without_its_end(tmp_path):
    start = '{"images": [' + ", ".join(["7"] * 100_000)
    path = write(tmp_path / "file.json", start)  # the end is missing, and not reached
    assert next(read_json_list(path, "images")) == 7


def test_a_file_is_not_held_in_memory(tmp_path):
    entries = [{"id": n, "name": "x" * 1000, "nan": float("nan")} for n in range(5000)]
    path = write(tmp_path / "file.json", json.dumps({"images": entries}))
    tracemalloc.start()
    count = sum(1 for _ in read_json_list(path, "images"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5000 and peak < 10 * CHUNK
