"""Tables of every kind on disk, their bad rows, and what is said of a table that cannot be used."""

import gc
import json
import os
import pickle
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.join_captions import JoinRules, join_image
from pipeline.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, short_names, show, to_text
from pipeline.sources.table_text import read_csv
from tfrecords_schema.errors import InputError

HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def write_parquet(path, columns, types=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(list(types.items())) if types else None
    pq.write_table(pa.table(columns, schema=schema), path, **options)
    return str(path)


def write_jsonl(path, *rows):
    return write(path, "".join(f"{json.dumps(row)}\n" for row in rows))


def find(path, staging="", image_directory="", **columns):
    source = find_table(str(path), image_directory, Columns(**columns), str(staging))
    return pickle.loads(pickle.dumps(source))  # as it is shipped to the workers


def read(path, staging="", image_directory="", **columns):
    source = find(path, staging, image_directory, **columns)
    return [found for part in source.parts for found in source.read(part)]


def rejects(found):
    return [(row.id, row.message) for row in found if isinstance(row, Reject)]


def mentions(found):
    return [row for row in found if isinstance(row, Mention)]


def said(found):
    """(image, split, caption) of the mentions."""
    return [(row.image_id, row.split, row.text) for row in mentions(found)]


def assert_refused(path, *named, **options):
    with pytest.raises(InputError) as error:
        read(path, **options)
    assert str(error.value).startswith("--")
    for text in named:
        assert str(text) in str(error.value)


ROWS = [
    {"image": "a.jpg", "caption": "A dog", "split": "train"},
    {"image": "a.jpg", "caption": "One dog, two cats", "split": "train"},
    {"image": "deep/b c.png", "caption": 'A "hot" café', "split": "val"},
    {"image": "/there/d.jpg", "caption": "Two\nlines", "split": "test"},
    {"image": "gs://bucket/e.jpg", "caption": "Far", "split": ""},
]


def make_table(directory, kind, rows=ROWS):
    path = directory / f"table.{kind}"
    if kind == "parquet":
        return write_parquet(path, {key: [row[key] for row in rows] for key in rows[0]})
    if kind in ("jsonl", "ndjson"):
        return write_jsonl(path, *rows)
    mark = {"csv": ",", "tsv": "\t"}[kind]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row.values()] for row in rows]
    return write(path, "\n".join(map(mark.join, [list(rows[0]), *quoted])))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_every_kind_of_table_reads_the_same(tmp_path, kind):
    path = make_table(tmp_path, kind)
    source = find(path)
    assert source.has_splits
    [part] = source.parts
    found = list(source.read(part))
    assert said(found) == [
        ("a.jpg", "train", "A dog"),
        ("a.jpg", "train", "One dog, two cats"),
        ("deep/b c.png", "validation", 'A "hot" café'),
        ("/there/d.jpg", "test", "Two lines"),
        ("gs://bucket/e.jpg", "", "Far"),
    ]
    directory = str(tmp_path)
    assert [row.uri for row in found] == [
        f"{directory}/a.jpg", f"{directory}/a.jpg", f"{directory}/deep/b c.png",
        "/there/d.jpg", "gs://bucket/e.jpg",
    ]  # fmt: skip
    assert {row.location for row in found} == {""} and not any(row.is_listing for row in found)
    assert len({row.caption_id for row in found}) == 5
    assert [row.order for row in found] == sorted({row.order for row in found})
    assert found[0].caption_id == {"parquet": "table.parquet:0", "csv": "table.csv:2",
        "tsv": "table.tsv:2"}.get(kind, f"table.{kind}:1")  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_without_splits_has_none(tmp_path, kind):
    path = make_table(tmp_path, kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert not find(path).has_splits
    assert said(read(path)) == [("a.jpg", "", "A dog")]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_columns_go_by_the_names_that_are_given(tmp_path, kind):
    row = {"n": "7", "file": "a.jpg", "text": "A dog", "fold": "DEV", "split": "no split"}
    path = make_table(tmp_path, kind, [row])
    [found] = read(path, image="file", caption="text", split="fold", id="n")
    assert (found.image_id, found.split, found.uri) == ("7", "validation", f"{tmp_path}/a.jpg")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_split_column_without_a_name_is_none(tmp_path, kind):
    path = make_table(tmp_path, kind)
    assert not find(path, split="").has_splits
    assert {row.split for row in read(path, split="")} == {""}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "flag, columns",
    [
        ("--image_column=picture", {"image": "picture"}),
        ("--caption_column=text", {"caption": "text"}),
        ("--split_column=fold", {"split": "fold"}),
        ("--id_column=id", {"id": "id"}),
    ],
)
def test_a_missing_column_is_named_with_its_flag_and_what_there_is(tmp_path, kind, flag, columns):
    path = make_table(tmp_path, kind)
    assert_refused(path, path, flag, "'image', 'caption', 'split'", **columns)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_is_there_twice_is_named(tmp_path, kind):
    path = write(tmp_path / "t.csv", "image,caption,caption\n")
    if kind == "parquet":
        table = pa.table([pa.array(["a"])] * 3, names=["image", "caption", "caption"])
        path = str(tmp_path / "t.parquet")
        pq.write_table(table, path)
    assert_refused(path, "2 columns 'caption'")


@pytest.mark.parametrize(
    "value, split",
    [
        ("train", "train"), ("Training", "train"), (" TRAIN ", "train"), ("val", "validation"),
        ("valid", "validation"), ("validation", "validation"), ("dev", "validation"),
        ("eval", "validation"), ("test", "test"), ("testing", "test"), ("", ""), (None, ""),
    ],
)  # fmt: skip
def test_splits_go_by_their_usual_names(tmp_path, value, split):
    rows = [dict(ROWS[0], split="train"), dict(ROWS[0], split=value)]
    assert mentions(read(write_jsonl(tmp_path / "t.jsonl", *rows)))[1].split == split


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("value", ["restval", "trainval", "1"])
def test_a_split_that_is_none_is_named_with_its_row(tmp_path, kind, value):
    path = make_table(tmp_path, kind, [ROWS[0], dict(ROWS[1], split=value)])
    row = {"csv": "row 3", "jsonl": "row 2", "parquet": "row 1"}[kind]
    assert_refused(path, path, row, repr(value), "train")


def test_a_split_in_a_later_line_alone_is_not_passed_over(tmp_path):
    first = {"image": "a.jpg", "caption": "A dog"}
    assert_refused(write_jsonl(tmp_path / "t.jsonl", first, ROWS[0]), "row 2", "'train'")


def test_rows_of_one_image_become_one_image_with_its_captions_in_order(tmp_path):
    write_jsonl(tmp_path / "t" / "1.jsonl", dict(ROWS[0], caption=["First", "Second"]))
    write_jsonl(
        tmp_path / "t" / "2.jsonl", dict(ROWS[0], caption="Third"), dict(ROWS[0], caption=["4th"])
    )
    found = read(tmp_path / "t", image_directory=str(tmp_path))
    assert [row.caption_id for row in found] == [
        "1.jsonl:1#0", "1.jsonl:1#1", "2.jsonl:1", "2.jsonl:2#0",
    ]  # fmt: skip
    rules = JoinRules("captions", "images", None, True, "flickr8k")
    [image] = join_image("a.jpg", found[::-1], rules._replace(clean="coco"))
    assert image.captions == ["First", "Second", "Third", "4th"]
    assert (image.split, image.uri) == ("train", f"{tmp_path}/a.jpg")


def test_paths_are_relative_to_the_image_directory(tmp_path):
    write(tmp_path / "images" / "a.jpg", b"bytes")
    path = make_table(tmp_path, "csv", ROWS[:1])
    [found] = read(path, image_directory=str(tmp_path / "images"))
    assert read_image_bytes(found.location or found.uri) == b"bytes"
    assert_refused(path, "--image_directory", tmp_path / "no", image_directory=str(tmp_path / "no"))


def test_files_of_two_kinds_are_refused(tmp_path):
    paths = [make_table(tmp_path, "csv"), make_table(tmp_path, "jsonl")]
    assert_refused(tmp_path, *paths)
    assert len(read(tmp_path / "*.csv")) == len(ROWS)


def test_a_directory_without_tables_is_named(tmp_path):
    write(tmp_path / "notes.md", "x")
    assert_refused(tmp_path, tmp_path, ".parquet", ".csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_with_other_columns_are_named(tmp_path, kind):
    one = make_table(tmp_path / "t" / "1", kind)
    other = make_table(tmp_path / "t" / "2", kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert_refused(tmp_path / "t" / "*" / "*", one, other, "'split'")


def test_files_of_one_name_in_two_directories_are_told_apart(tmp_path):
    for folder in ("x1", "x2"):
        write_parquet(tmp_path / folder / "t.parquet", {"image": [b"i"], "caption": [folder]})
    found = read(tmp_path / "*" / "t.parquet", tmp_path / "staged")
    assert [row.image_id for row in found] == ["x1/t.parquet:0", "x2/t.parquet:0"]
    assert short_names(["gs://b/d/a.csv"]) == ["a.csv"]
    assert short_names(["gs://b/d/a.csv", "gs://b/d/e/a.csv"]) == ["a.csv", "e/a.csv"]
    assert short_names(["a.csv", "b.csv"]) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("url", ["http://x.org/a.jpg", "https://x.org/a.jpg", " HTTPS://x.org/a"])
def test_images_that_would_have_to_be_downloaded_are_refused(tmp_path, kind, url):
    path = make_table(tmp_path, kind, [dict(ROWS[0], image=url)])
    with pytest.raises(InputError, match="img2dataset") as error:
        find(path)
    assert path in str(error.value) and url.strip() in str(error.value)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_row_with_a_bad_caption_keeps_its_image(tmp_path, kind):
    bad = [dict(ROWS[2], caption=" "), dict(ROWS[2], image="")]
    found = read(make_table(tmp_path, kind, [ROWS[0], *bad, ROWS[1]]))
    number = {"csv": 3, "jsonl": 2, "parquet": 1}[kind]
    name = f"table.{kind}:{number}"
    assert rejects(found) == [(name, "empty caption")]
    assert found[1].stage == CAPTION and found[1].split == UNASSIGNED
    assert found[2] == Mention("deep/b c.png", "validation", f"{tmp_path}/deep/b c.png")
    assert (found[3].image_id, found[3].uri) == (f"table.{kind}:{number + 1}", "")  # without image
    assert found[3].text == 'A "hot" café'
    assert len(found) == 5


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_bad_captions_of_a_list_cost_only_themselves(tmp_path, kind):
    rows = [
        dict(ROWS[0], caption=["A dog", "", None, "A cat"]),
        dict(ROWS[0], caption=[]),
        dict(ROWS[0], caption=None),
    ]
    path = make_table(tmp_path, kind, rows)
    first = {"jsonl": 1, "parquet": 0}[kind]
    found = read(path)
    assert [id.rpartition(":")[2] for id, _ in rejects(found)] == [
        f"{first}#1", f"{first}#2", f"{first + 1}", f"{first + 2}",
    ]  # fmt: skip
    assert [row.text for row in mentions(found)] == ["A dog", "A cat", "", ""]
    assert {row.uri for row in mentions(found)} == {f"{tmp_path}/a.jpg"}


# ---------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_csv_files_of_every_system_read_the_same(tmp_path, end, mark, last):
    lines = ["", "image, caption", "a.jpg,A  dog", "", 'b.jpg,"Two', 'lines, ""hot"""', "c.jpg,犬"]
    path = write(tmp_path / "t.csv", mark + (end.join(lines) + end * last).encode())
    found = read(path)
    assert [(row.caption_id, row.text) for row in found] == [
        ("t.csv:3", "A dog"), ("t.csv:5", 'Two lines, "hot"'), ("t.csv:7", "犬"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line, message",
    [
        (b"b.jpg", "1 columns, expected 2 as in the header"),
        (b"b.jpg,A dog, a cat", "3 columns, expected 2"),
        (b",", "empty caption"),
        (b"b.jpg,", "empty caption"),
        (b"b.jpg,A caf\xe9", "not valid UTF-8: A caf\\xe9"),
        (b'b.jpg,"A dog" barks', "is a quote not closed? 'b.jpg,\"A dog\" barks'"),
        (b'b.jpg,"A dog', "is a quote not closed?"),
        (b"b.jpg,A dog\rbarks", "new-line character"),
    ],
)
@pytest.mark.parametrize("after", [b"c.jpg,A cow\nd.jpg,A hen", b'c.jpg,"A cow"\nd.jpg,"A hen"'])
def test_a_bad_line_of_a_csv_file_costs_only_itself(tmp_path, line, message, after):
    path = write(tmp_path / "t.csv", b"image,caption\na.jpg,A dog\n" + line + b"\n" + after)
    found = read(path)
    [row] = [row for row in found if isinstance(row, Reject)]
    assert (row.id, row.uri, row.split, row.stage) == ("t.csv:3", path, UNASSIGNED, CAPTION)
    assert message in row.message
    captions = [(row.caption_id, row.text) for row in mentions(found) if row.text]
    assert captions == [("t.csv:2", "A dog"), ("t.csv:4", "A cow"), ("t.csv:5", "A hen")]


def test_a_field_over_the_limit_of_the_parser_costs_only_its_line(tmp_path):
    content = "image,caption\na.jpg," + "A dog " * 30_000 + "\nb.jpg,A cat\n"
    found = read(write(tmp_path / "t.csv", content))
    assert rejects(found)[0][0] == "t.csv:2" and len(rejects(found)[0][1]) < 200
    assert said(found) == [("b.jpg", "", "A cat")]


def test_an_image_name_that_is_not_utf8_is_kept_in_a_form_that_can_be_written(tmp_path):
    [found] = read(write(tmp_path / "t.csv", b"image,caption\ncaf\xe9.jpg,A dog\n"))
    assert (found.image_id, found.uri) == ("caf\\xe9.jpg", f"{tmp_path}/caf\\xe9.jpg")


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_csv_file_is_named(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    assert_refused(path, path, "is empty")


@pytest.mark.parametrize("content", [b'"image,caption\na,b\n', "image,caption\n".encode("utf-16")])
def test_a_header_that_cannot_be_read_is_named(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    assert_refused(path, path)


def test_a_csv_file_that_lost_a_column_since_it_was_found_is_refused(tmp_path):
    path = write(tmp_path / "t.csv", "image,text\n")
    with pytest.raises(InputError, match="no column 'caption'"):
        list(read_csv(path, ",", Columns(split="")))


CELLS = st.lists(
    st.sampled_from([b"a.jpg", b",", b'"', b'""', b" ", b"\r", b"\n", b"A dog", b"\xe9", b"\0"]),
    max_size=6,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.just(b"a.jpg,A dog"), CELLS), max_size=8))
@example([b'a.jpg,"A dog', b"a.jpg,A dog", b'a.jpg,"A dog"'])
@example([b'a.jpg,"A dog', b"a.jpg,A dog"])
def test_every_row_of_a_csv_is_a_caption_or_a_reject(tmp_path_factory, rows):
    content = b"image,caption\n" + b"\n".join(rows)
    path = write(tmp_path_factory.getbasetemp() / "odd.csv", content)
    found = read(path)
    assert {type(row) for row in found} <= {Mention, Reject}
    for row in found:
        "".join(map(str, row)).encode("utf-8")  # whatever it is, it can be written
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    accounted = [row.id if isinstance(row, Reject) else row.caption_id for row in found]
    numbers = [int(place.removeprefix("odd.csv:")) for place in accounted if place]
    assert numbers == sorted(set(numbers))
    # A line that begins no row is blank, or lies within the quotes of the row before it.
    for number, line in enumerate(lines[1:], 2):
        if line.strip("\r") and number not in numbers:
            before = max((n for n in numbers if n < number), default=0)
            assert before and '"' in lines[before - 1]
    if b'"' not in content:
        assert len(numbers) == sum(bool(line.strip("\r")) for line in lines[1:])
        assert len(mentions(found)) >= rows.count(b"a.jpg,A dog")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([b'x.jpg,"A cat', b"x", b'x,"y" z', b'"']), min_size=1, max_size=4))
def test_quotes_that_are_not_closed_swallow_no_row(tmp_path_factory, bad):
    good = [b"a%d.jpg,A dog" % i for i in range(3)]
    content = b"\n".join([b"image,caption", good[0], *bad, good[1], good[2]])
    found = read(write(tmp_path_factory.getbasetemp() / "quotes.csv", content))
    # Unless two of them happen to be a pair: then what is between them is one quoted text.
    if content.count(b'"') % 2:
        assert "a2.jpg" in {row.image_id for row in mentions(found)}
    assert {"a0.jpg"} <= {row.image_id for row in mentions(found)}


def test_a_csv_file_is_not_held_in_memory(tmp_path):
    path = write(tmp_path / "t.csv", "image,caption\n" + f"a.jpg,{'A dog' * 20}\n" * 20_000)
    source = find(path)
    tracemalloc.start()
    count = sum(1 for part in source.parts for _ in source.read(part))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 500_000 < os.path.getsize(path) / 4


# -------------------------------------------------------------------------------------- JSONL


@pytest.mark.parametrize(
    "line, message",
    [
        (b'{"image": "b.jpg", "caption"', "not JSON: Expecting ':' delimiter"),
        (b"b.jpg", "not JSON"),
        (b"[1, 2]", "no JSON object: '[1, 2]'"),
        (b"[" * 100_000, "not JSON: "),
        (b'{"image": "b.jpg", "caption": 7}', "the caption is '7': expected a text"),
        (b'{"image": "b.jpg", "caption": [["x"]]}', "the caption is \"['x']\": expected"),
        (b'{"image": "b.jpg", "caption": "caf\xe9"}', "not valid UTF-8: caf\\xe9"),
        (b'{"image": "b.jpg", "caption": "half \\ud83d"}', "not valid UTF-8: half \\xed\\xa0\\xbd"),
        (b'{"image": "b.jpg"}', "empty caption"),
        (b'{"image": {"src": 1}, "caption": "A cat"}', "the image is \"{'src': 1}\": expected"),
        (b'{"image": 7, "caption": "A cat"}', "the image is '7': expected a path"),
    ],
)
def test_a_bad_line_of_a_jsonl_file_costs_only_itself(tmp_path, line, message):
    good = b'{"image": "%s.jpg", "caption": "A dog"}\n'
    path = write(tmp_path / "t.jsonl", good % b"a" + b"\n" + line + b"\n" + good % b"c")
    found = read(path)
    [row] = [row for row in found if isinstance(row, Reject)]
    assert (row.id.partition("#")[0], row.uri, row.stage) == ("t.jsonl:3", path, CAPTION)
    assert message in row.message and len(row.message) < 300
    captions = [(row.caption_id, row.text) for row in mentions(found) if row.text]
    assert captions == [("t.jsonl:1", "A dog"), ("t.jsonl:4", "A dog")]
    if b'"image": "b.jpg",' in line and message.startswith(("the caption", "not valid")):
        assert "b.jpg" in {row.image_id for row in mentions(found)}


@pytest.mark.parametrize(
    "content, named", [("\n", "is empty"), ("[]\n", "line 1"), ("x", "line 1")]
)
def test_a_jsonl_file_whose_first_line_is_no_object_is_named(tmp_path, content, named):
    path = write(tmp_path / "t.jsonl", content)
    assert_refused(path, path, named)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["image", "caption", "x"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_every_line_of_a_jsonl_file_is_accounted_for(tmp_path_factory, rows):
    path = write_jsonl(tmp_path_factory.getbasetemp() / "odd.jsonl", ROWS[0], *rows)
    found = read(path)
    for row in found:
        "".join(map(str, row)).encode("utf-8")
    places = {row.id if isinstance(row, Reject) else row.caption_id for row in found}
    places = {place.partition("#")[0] for place in places}
    assert {f"odd.jsonl:{i}" for i in range(1, len(rows) + 2)} <= places | {""}


# --------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("value, image_id", [(7, "7"), ("x 7", "x 7"), (" 7 ", "7")])
def test_ids_are_strings_or_integers(tmp_path, value, image_id):
    path = write_jsonl(tmp_path / "t.jsonl", dict(ROWS[0], id=value))
    assert [row.image_id for row in read(path, id="id")] == [image_id]


@pytest.mark.parametrize("value", [None, "", " ", 1.5, True, ["x"]])
def test_a_row_without_an_id_is_a_reject_and_an_image_without_a_file(tmp_path, value):
    path = write_jsonl(tmp_path / "t.jsonl", dict(ROWS[0], id=value))
    reject, mention = read(path, id="id")
    assert (reject.id, reject.stage) == ("t.jsonl:1", CAPTION)
    assert "the id is" in reject.message
    assert mention == Mention("t.jsonl:1", "train")


# ------------------------------------------------------------------------------------- Parquet


IMAGES = [b"first", b"second", b"", None, b"second", b"second", b"last"]


def write_inline(path, is_struct, row_group_size=3):
    values = [{"bytes": b, "path": None} for b in IMAGES] if is_struct else IMAGES
    captions = [f"Caption {i}" for i in range(len(IMAGES))]
    return write_parquet(
        path,
        {"image": values, "caption": captions},
        {"image": HUGGING_FACE if is_struct else pa.binary(), "caption": pa.string()},
        row_group_size=row_group_size,
    )


@pytest.mark.parametrize("is_struct", [True, False])
@pytest.mark.parametrize("part_bytes", [1, 1 << 30])
def test_inline_images_come_back_by_their_locations(tmp_path, monkeypatch, is_struct, part_bytes):
    monkeypatch.setattr(table_parquet, "PART_BYTES", part_bytes)
    path = write_inline(tmp_path / "t.parquet", is_struct)
    found = read(path, tmp_path / "staged")
    assert [row.text for row in found] == [f"Caption {i}" for i in range(len(IMAGES))]
    assert [row.image_id for row in found] == [f"t.parquet:{i}" for i in range(len(IMAGES))]
    images = [read_image_bytes(row.location) if row.location else b"" for row in found]
    assert images == [image or b"" for image in IMAGES]
    assert [row.uri for row in found] == [
        f"{path}#row={i}" if i is not None else "" for i in (0, 1, None, None, 4, 4, 6)
    ]
    assert read(path, tmp_path / "staged") == found
    assert len(find(path, tmp_path / "staged").parts) == (3 if part_bytes == 1 else 1)


def test_captions_with_a_row_and_the_image_each_are_one_image_by_its_id(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet",
        {"image": [b"x"] * 5 + [b"y"], "caption": list("abcdef"), "id": [1] * 5 + [2]},
    )
    found = read(path, tmp_path / "staged", id="id")
    rules = JoinRules("captions", "images", (1.0, 0.0, 0.0), True, "coco")
    [image] = join_image("1", [row for row in found if row.image_id == "1"], rules)
    assert (image.uri, image.captions) == (f"{path}#row=0", list("abcde"))


def test_a_struct_with_a_path_alone_is_a_path(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet",
        {
            "image": [{"bytes": None, "path": "a.jpg"}, {"bytes": b"b", "path": "b.jpg"}, None],
            "caption": ["A", "B", "C"],
        },
        {"image": HUGGING_FACE, "caption": pa.string()},
    )
    for _ in range(2):
        found = read(path, tmp_path / "staged")
        assert [row.image_id for row in found] == ["a.jpg", "b.jpg", "t.parquet:2"]
        assert [row.uri for row in found] == [f"{tmp_path}/a.jpg", f"{path}#row=1", ""]
        assert [bool(row.location) for row in found] == [False, True, False]
        assert read_image_bytes(found[1].location) == b"b"


@pytest.mark.parametrize("is_struct", [True, False])
def test_the_second_reading_leaves_the_image_column_alone(tmp_path, is_struct):
    path = write_inline(tmp_path / "t.parquet", is_struct)
    found = read(path, tmp_path / "staged")
    stat = os.stat(path)
    metadata = pq.read_metadata(path)
    with open(path, "r+b") as file:
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(0)
            assert column.path_in_schema.startswith("image")
            start = column.dictionary_page_offset or column.data_page_offset
            file.seek(start)
            file.write(b"\xff" * column.total_compressed_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read(path, tmp_path / "staged") == found
    assert_refused(path, path, "cannot be read", staging=tmp_path / "elsewhere")


def test_a_file_that_has_changed_is_staged_anew(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    before = read(path, tmp_path / "staged")
    os.utime(path, (1, 1))
    after = read(path, tmp_path / "staged")
    assert [row.text for row in after] == [row.text for row in before]
    assert not {row.location for row in before if row.location} & {row.location for row in after}


def test_without_a_staging_directory_inline_images_are_left_alone(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    found = read(path)
    assert len(found) == len(IMAGES) and {(row.uri, row.location) for row in found} == {("", "")}


def test_two_workers_may_read_a_part_at_once(tmp_path):
    source = find(write_inline(tmp_path / "t.parquet", True), tmp_path / "staged")
    [part] = source.parts
    for one, other in zip(source.read(part), source.read(part), strict=True):
        assert one == other
    assert [read_image_bytes(r.location) for r in source.read(part) if r.location] == [
        image for image in IMAGES if image
    ]


def test_parts_are_runs_of_row_groups_that_are_large_enough(tmp_path, monkeypatch):
    def runs(*sizes):
        return list(table_parquet.runs_of_row_groups([(10, size) for size in sizes]))

    monkeypatch.setattr(table_parquet, "PART_BYTES", 100)
    assert runs() == []
    assert runs(1) == [(0, 1, 0)]
    assert runs(100, 99, 1, 1) == [(0, 1, 0), (1, 3, 10), (3, 4, 30)]
    assert runs(500, 500) == [(0, 1, 0), (1, 2, 10)]
    monkeypatch.setattr(table_parquet, "PART_BYTES", 1)
    path = make_table(tmp_path, "parquet")
    rows = pq.read_table(path)
    pq.write_table(rows, path, row_group_size=2)
    assert [part[3] for part in find(path).parts] == [(0, 1, 0), (1, 2, 2), (2, 3, 4)]
    assert [row.caption_id for row in read(path)] == [f"table.parquet:{i}" for i in range(5)]


def test_memory_is_bounded_by_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(table_parquet, "BATCH_BYTES", 1 << 20)
    path, size = str(tmp_path / "t.parquet"), 100_000
    schema = pa.schema([("image", HUGGING_FACE), ("caption", pa.string())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False,
                          write_batch_size=4) as writer:  # fmt: skip
        rows = [{"image": {"bytes": os.urandom(size), "path": None}, "caption": "A dog"}] * 400
        writer.write_table(pa.Table.from_pylist(rows, schema))  # one row group of 40 MB
    del rows
    gc.collect()
    source = find(path, tmp_path / "staged")
    before, arrow = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for part in source.parts:
        for _ in source.read(part):
            arrow = max(arrow, pa.total_allocated_bytes() - before)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size < arrow < 8 << 20 and size < python < 8 << 20


@pytest.mark.parametrize(
    "columns, types",
    [
        ({"caption": ["A dog"]}, {"caption": pa.large_string()}),
        ({"caption": ["A dog"]}, {"caption": pa.binary()}),
        ({"caption": ["A dog"]}, {"caption": pa.dictionary(pa.int32(), pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.large_list(pa.large_string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string(), 1)}),
        ({"image": ["a.jpg"]}, {"image": pa.dictionary(pa.int8(), pa.large_string())}),
        ({"split": ["train"]}, {"split": pa.dictionary(pa.int8(), pa.string())}),
    ],
)
def test_text_is_read_from_every_type_that_writers_use(tmp_path, columns, types):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], **columns}
    types = dict.fromkeys(columns, pa.string()) | types
    path = write_parquet(tmp_path / "t.parquet", columns, types)
    assert said(read(path)) == [("a.jpg", "train", "A dog")]


@pytest.mark.parametrize(
    "type", [pa.large_binary(), pa.struct([("bytes", pa.binary())]), HUGGING_FACE]
)
def test_images_are_read_from_every_type_that_writers_use(tmp_path, type):
    value = {"bytes": b"image"} if pa.types.is_struct(type) else b"image"
    columns = {"image": [value], "caption": ["A dog"]}
    path = write_parquet(tmp_path / "t.parquet", columns, {"image": type, "caption": pa.string()})
    for _ in range(2):
        [found] = read(path, tmp_path / "staged")
        assert read_image_bytes(found.location) == b"image"


@pytest.mark.parametrize(
    "column, type, values",
    [
        ("image", pa.int64(), [1]),
        ("image", pa.struct([("url", pa.string())]), [{"url": "x"}]),
        ("image", pa.list_(pa.string()), [["x"]]),
        ("caption", pa.int64(), [1]),
        ("caption", pa.list_(pa.int64()), [[1]]),
        ("split", pa.int64(), [0]),
        ("id", pa.float64(), [0.5]),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, type, values):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], "id": ["1"]}
    types = dict.fromkeys(columns, pa.string()) | {column: type}
    path = write_parquet(tmp_path / "t.parquet", columns | {column: values}, types)
    name = str(type).partition("<")[0]
    assert_refused(path, path, f"--{column}_column", f"is {name}", "expected", id="id")


def test_text_that_is_not_utf8_costs_only_its_row(tmp_path):
    captions = pa.array([b"A dog", b"A caf\xe9", b"A cat"])
    claimed = pa.Array.from_buffers(pa.string(), 3, captions.buffers())  # as Spark writes them
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"image": list("abc"), "caption": claimed}), path)
    found = read(path)
    assert rejects(found) == [("t.parquet:1", "not valid UTF-8: A caf\\xe9")]
    assert said(found) == [("a", "", "A dog"), ("b", "", ""), ("c", "", "A cat")]


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"no parquet at all", b"PAR1\xff\xff\xff\x00PAR1"]
)
def test_a_file_that_is_no_parquet_is_named(tmp_path, content):
    path = write(tmp_path / "t.parquet", content)
    assert_refused(path, path, "cannot be read")


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path):
    path = make_table(tmp_path, "parquet")
    write(tmp_path / "table.parquet", (tmp_path / "table.parquet").read_bytes()[:-30])
    assert_refused(path, path, "cannot be read")


def test_a_parquet_file_that_changes_after_it_was_found_is_refused(tmp_path):
    path = make_table(tmp_path, "parquet")
    source = find(path)
    write_parquet(tmp_path / "table.parquet", {"image": ["a.jpg"]})
    with pytest.raises(InputError, match="changed"):
        list(source.read(source.parts[0]))


def test_an_empty_parquet_file_has_no_parts(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet", {"image": [], "caption": []}, dict.fromkeys(["image", "caption"],
        pa.string()),
    )  # fmt: skip
    assert read(path) == []


@pytest.mark.parametrize(
    "value, text",
    [
        (None, ""), ("é", "é"), (b"\xc3\xa9", "é"), (7, None), (["x"], None),
        (b"\xe9", "\udce9"), ("\ud83d", "\udced\udca0\udcbd"), ("\udce9", "\udce9"),
    ],
)  # fmt: skip
def test_cells_become_text(value, text):
    assert to_text(value) == text
    show(value).encode("utf-8")
