"""Tables of every kind on disk, their bad rows, and what is said of a table that cannot be used."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.join_captions import JoinRules, join_image
from pipeline.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, short_names
from tfrecords_schema.errors import InputError


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
