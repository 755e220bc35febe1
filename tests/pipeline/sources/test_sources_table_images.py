"""What an image of a table is: a file, bytes in a cell, or an id."""

import itertools
import re
from pathlib import Path

import pyarrow as pa
import pytest
from table_files import (
    HUGGING_FACE,
    KINDS,
    ROWS,
    assert_refused,
    find,
    join,
    make_table,
    read,
    said,
    write,
    write_jsonl,
    write_parquet,
)

from pipeline.accounting.rejects import CAPTION, JOIN, SPLIT
from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.table_rows import short_names
from pipeline.text.join_captions import image_name


def write_inline(path, *rows, **options):
    """Rows of (bytes, path, caption), as Hugging Face writes them."""
    images = [{"bytes": content, "path": name} for content, name, _ in rows]
    columns = {"image": images, "caption": [caption for *_, caption in rows]}
    types = {"image": HUGGING_FACE, "caption": pa.string()}
    return write_parquet(path, columns, types, **options)


def test_paths_are_relative_to_the_image_directory(tmp_path):
    write(tmp_path / "images" / "a.jpg", b"bytes")
    path = make_table(tmp_path, "csv", ROWS[:1])
    [found] = read(path, image_directory=str(tmp_path / "images"))
    assert read_image_bytes(found.location or found.uri) == b"bytes"
    no = tmp_path / "no"
    assert_refused(path, f"--image_directory: directory {no}", image_directory=no, staging=tmp_path)
    assert len(read(path, image_directory=no)) == 1  # no image is opened


def test_an_image_is_the_file_that_its_path_leads_to(tmp_path):
    folder = tmp_path / "1" / "2" / "3"
    steps = (".", "..", "a", "b", "b/")
    ways = [way for n in range(4) for way in itertools.product(steps, repeat=n)]
    paths = ["/".join([*way, "x.jpg"]) for way in ways]
    paths += [f"{folder}/{path}" for path in paths]
    real = [str((folder / path).resolve()) for path in paths]
    rows = [{"image": path, "caption": "A dog"} for path in paths]
    for kind in ("csv", "jsonl", "parquet"):
        found = read(make_table(folder, kind, rows))
        assert [row.key for row in found] == real
        assert [str(Path(row.uri).resolve()) for row in found] == real
        assert [row.image_id for row in found] == paths  # as the table has it
    elsewhere = make_table(tmp_path, "csv", rows)
    for directory in (folder, folder / "a" / "..", f"{folder}/"):
        found = read(elsewhere, image_directory=directory)
        assert [row.key for row in found] == real
    far = [{"image": f"gs://bucket/{path}", "caption": "A dog"} for path in ("a//b", "a/c/../b")]
    keys = {row.key for row in read(make_table(tmp_path, "csv", far))}
    assert keys == {row["image"] for row in far}  # of a bucket each name is one of its own


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_in_the_tables_of_two_folders_is_two_images(tmp_path, kind):
    for folder in ("dogs", "deep/cats"):
        row = {"image": "./0.png", "caption": folder}
        make_table(tmp_path / "set" / folder, kind, [row, dict(row, image="/all/1.png")])
    pattern = tmp_path / "set" / "**" / f"table.{kind}"
    source, found = find(pattern), read(pattern)
    assert source.names_may_collide
    assert [(row.key, row.image_id, row.full_id, row.text) for row in found] == [
        (f"{tmp_path}/set/deep/cats/0.png", "./0.png", "deep/cats/0.png", "deep/cats"),
        ("/all/1.png", "/all/1.png", "/all/1.png", "deep/cats"),
        (f"{tmp_path}/set/dogs/0.png", "./0.png", "dogs/0.png", "dogs"),
        ("/all/1.png", "/all/1.png", "/all/1.png", "dogs"),
    ]
    images = join(found, (1.0, 0.0, 0.0))
    assert [image.captions for [image] in images.values()] == [
        ["deep/cats"], ["deep/cats", "dogs"], ["dogs"],
    ]  # fmt: skip
    together = tmp_path / "images"
    write(together / "0.png", b"one file")
    assert not find(pattern, image_directory=together).names_may_collide
    keys = [row.key for row in read(pattern, image_directory=together)]
    assert keys == [f"{together}/0.png", "/all/1.png"] * 2
    assert not find(pattern, id="caption").names_may_collide


def test_tables_of_one_folder_name_the_same_images(tmp_path):
    for name in ("1.csv", "2.csv"):
        write(tmp_path / name, f"image,caption\na.jpg,{name}\n")
    assert not find(tmp_path).names_may_collide
    [[image]] = join(read(tmp_path), (1.0, 0.0, 0.0)).values()
    assert image.captions == ["1.csv", "2.csv"]


def test_files_of_one_name_in_two_directories_are_told_apart(tmp_path):
    for folder in ("x1", "x2"):
        content = folder.encode()
        write_parquet(tmp_path / folder / "t.parquet", {"image": [content], "caption": [folder]})
    found = read(tmp_path / "*" / "t.parquet", tmp_path / "staged")
    assert [row.image_id for row in found] == ["x1/t.parquet:0", "x2/t.parquet:0"]
    assert short_names(["gs://b/d/a.csv"]) == ["a.csv"]
    assert short_names(["gs://b/d/a.csv", "gs://b/d/e/a.csv"]) == ["a.csv", "e/a.csv"]
    assert short_names(["a.csv", "b.csv"]) == ["a.csv", "b.csv"]


PICTURES = [
    (b"dog", "image.png", "Dog 0"),
    (b"cat", "image.png", "Cat 0"),
    (b"cat", "other.png", "Cat 1"),
    (b"dog", None, "Dog 1"),
    (b"dog", "image.png", "Dog 2"),
    (b"cow", "", "Cow 0"),
    (b"dog", "dog.png", "Dog 3"),
    (b"dog", "image.png", "Dog 4"),
]


@pytest.mark.parametrize("part_bytes", [1, 64 << 20])  # a part each two rows; one part
@pytest.mark.parametrize("is_staged", [False, True])
def test_inline_images_are_told_apart_by_their_bytes(tmp_path, monkeypatch, is_staged, part_bytes):
    monkeypatch.setattr(table_parquet, "PART_BYTES", part_bytes)
    path = write_inline(tmp_path / "t.parquet", *PICTURES, row_group_size=2)
    staging = tmp_path / "staged" if is_staged else ""
    assert find(path, staging).names_may_collide
    first = read(path, staging)
    for found in (first, read(path, staging)):  # the second time from what was staged
        assert found == first and len({row.key for row in found}) == 3
        images = join(found, (1.0, 0.0, 0.0))
        captions = [image.captions for [image] in images.values()]
        assert captions == [[f"Dog {i}" for i in range(5)], ["Cat 0", "Cat 1"], ["Cow 0"]]
        uris = [image.uri for [image] in images.values()]
        assert uris == [f"{path}#row={row}" for row in (0, 1, 5)]
        if is_staged:
            contents = [read_image_bytes(image.location) for [image] in images.values()]
            assert contents == [b"dog", b"cat", b"cow"]
    names = [
        image_name("key", [row for row in first if row.key == key], is_full)
        for is_full in (False, True)
        for key in dict.fromkeys(row.key for row in first)
    ]
    assert names == [
        "image.png", "image.png", "t.parquet:5", "t.parquet:0", "t.parquet:1", "t.parquet:5",
    ]  # fmt: skip


@pytest.mark.parametrize("is_staged", [False, True])
def test_the_same_bytes_in_two_splits_are_two_images(tmp_path, is_staged):
    for split in ("train", "test"):
        rows = [(b"dog", "a.png", f"{split} dog"), (split.encode(), "a.png", f"{split} alone")]
        write_inline(tmp_path / "set" / f"{split}.parquet", *rows)
    staging = tmp_path / "staged" if is_staged else ""
    found = read(tmp_path / "set", staging)
    images = [image for [image] in join(found).values()]
    assert [(image.split, image.captions) for image in images] == [
        ("test", ["test dog"]), ("test", ["test alone"]),
        ("train", ["train dog"]), ("train", ["train alone"]),
    ]  # fmt: skip
    assert len({row.content for row in found}) == 3  # by which it is seen that they are the same
    assert len(join(read(tmp_path / "set", staging, split_names={}), (1.0, 0.0, 0.0))) == 3


@pytest.mark.parametrize("is_staged", [False, True])
def test_a_row_without_bytes_goes_by_its_path_or_has_a_problem(tmp_path, is_staged):
    rows = [
        (None, "a.png", "By path"),
        (b"dog", "a.png", "By bytes"),
        (b"", "./a.png", "By the same path"),
        (None, None, "By nothing"),
        (None, " ", "By nothing else"),
    ]
    path = write_inline(tmp_path / "t.parquet", *rows)
    found = read(path, tmp_path / "staged" if is_staged else "")
    file = f"{tmp_path}/a.png"
    assert [row.key for row in found] == [
        file, found[1].key, file, "t.parquet:3", "t.parquet:4",
    ]  # fmt: skip
    assert [bool(row.content) for row in found] == [False, True, False, False, False]
    assert [bool(row.location) for row in found] == [False, is_staged, False, False, False]
    assert [row.uri for row in found] == [file, f"{path}#row=1", file, "", ""]
    assert [row.full_id for row in found[:3]] == ["a.png", "t.parquet:1", "a.png"]
    assert [row.problem for row in found] == ["", "", "", *["column 'image' is empty"] * 2]
    images = join(found, (1.0, 0.0, 0.0))
    assert images[file][0].captions == ["By path", "By the same path"]
    [lost] = images["t.parquet:3"]
    assert (lost.stage, lost.message) == (JOIN, "column 'image' is empty")


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_is_what_the_image_is(tmp_path, kind):
    rows = [
        {"id": "7", "image": "a.jpg", "caption": "A dog", "split": "train"},
        {"id": "8", "image": "a.jpg", "caption": "The same dog", "split": "train"},
        {"id": "7", "image": "./a.jpg", "caption": "One dog", "split": "train"},
        {"id": "9", "image": "b.jpg", "caption": "A cat", "split": "train"},
        {"id": "9", "image": "c.jpg", "caption": "A cow", "split": "train"},
        {"id": "10", "image": "d.jpg", "caption": "A cock", "split": "train"},
        {"id": "10", "image": "d.jpg", "caption": "A hen", "split": "test"},
    ]
    path = make_table(tmp_path, kind, rows)
    images = join(read(path, id="id"))
    assert {key: type(found[-1]).__name__ for key, found in images.items()} == {
        "7": "CaptionedImage", "8": "CaptionedImage", "9": "Reject", "10": "Reject",
    }  # fmt: skip
    [seven], [eight] = images["7"], images["8"]
    assert (seven.uri, seven.captions) == (f"{tmp_path}/a.jpg", ["A dog", "One dog"])
    assert (eight.uri, eight.captions) == (f"{tmp_path}/a.jpg", ["The same dog"])
    assert {row.uri for row in images["9"]} == {f"{tmp_path}/b.jpg", f"{tmp_path}/c.jpg"}
    for row in images["9"]:
        assert row.stage == JOIN and "b.jpg" in row.message and "c.jpg" in row.message
    assert images["10"][-1].stage == SPLIT


@pytest.mark.parametrize("is_staged", [False, True])
def test_an_id_of_inline_images_is_refused_where_their_bytes_differ(tmp_path, is_staged):
    columns = {
        "id": [1, 2, 1, 2],
        "image": [b"dog", b"cat", b"dog", b"cow"],
        "caption": ["A dog", "A cat", "One dog", "A cow"],
    }
    path = write_parquet(tmp_path / "t.parquet", columns)
    source = find(path, tmp_path / "staged" if is_staged else "", id="id")
    assert not source.names_may_collide
    images = join(source.read(source.parts[0]), (1.0, 0.0, 0.0))
    [one], two = images["1"], images["2"]
    assert one.captions == ["A dog", "One dog"]
    assert {(row.stage, row.uri) for row in two} == {
        (JOIN, f"{path}#row=1"), (JOIN, f"{path}#row=3"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "struct"])
def test_images_that_would_have_to_be_downloaded_are_refused_in_every_row(tmp_path, kind):
    for url in ("http://x.org/a.jpg", "https://x.org/a.jpg", " HTTPS://x.org/a"):
        messages = set()
        for place in (0, 1, 4):
            rows = [dict(row) for row in ROWS]
            rows[place]["image"] = url
            if kind == "struct":
                cells = [(None, row["image"], row["caption"]) for row in rows]
                path = write_inline(tmp_path / "t.parquet", *cells)
            else:
                path = make_table(tmp_path, kind, rows)
            message = assert_refused(path, path, "'image'", url.strip(), "img2dataset")
            assert assert_refused(path, id="caption") == message
            messages.add(re.sub(r"row \d+", "row N", message))
        assert len(messages) == 1


def test_bytes_that_are_there_need_no_download(tmp_path):
    path = write_inline(tmp_path / "t.parquet", (b"dog", "https://x.org/a.jpg", "A dog"))
    assert said(read(path, tmp_path / "staged")) == [("https://x.org/a.jpg", "", "A dog")]


@pytest.mark.parametrize(
    "value, image_id", [(7, "7"), (0, "0"), (-7, "-7"), ("7", "7"), ("x 7", "x 7"), (" 7 ", "7")]
)
def test_ids_are_strings_or_integers(tmp_path, value, image_id):
    path = write_jsonl(tmp_path / "t.jsonl", dict(ROWS[0], id=value))
    [row] = read(path, id="id")
    assert row.key == image_id
    assert row.has_integer_id == isinstance(value, int)


@pytest.mark.parametrize(
    "type, ids",
    [
        (pa.int8(), [-1, 0]), (pa.uint64(), [2**64 - 1, 1]), (pa.string(), ["007", "8"]),
        (pa.dictionary(pa.int8(), pa.int64()), [5, 5]),
    ],
)  # fmt: skip
def test_ids_of_parquet_are_integers_where_the_column_is(tmp_path, type, ids):
    columns = {
        "image": ["a.jpg", "b.jpg"],
        "caption": ["A dog", "A cat"],
        "id": pa.array(ids, type),
    }
    found = read(write_parquet(tmp_path / "t.parquet", columns), id="id")
    assert [row.key for row in found] == [str(id) for id in ids]
    assert [row.has_integer_id for row in found] == [isinstance(id, int) for id in ids]


def test_ids_of_csv_are_texts(tmp_path):
    path = write(tmp_path / "t.csv", "id,image,caption\n007,a.jpg,A dog\n8,b.jpg,A cat\n")
    assert [(row.key, row.has_integer_id) for row in read(path, id="id")] == [
        ("007", False), ("8", False),
    ]  # fmt: skip


def test_the_name_of_an_image_is_no_integer(tmp_path):
    path = write_jsonl(tmp_path / "t.jsonl", dict(ROWS[0], image="7", id=7))
    assert [(row.image_id, row.has_integer_id) for row in read(path)] == [("7", False)]


@pytest.mark.parametrize("value", [None, "", " ", 1.5, True, ["x"]])
def test_a_row_without_an_id_is_a_reject_and_an_image_without_a_file(tmp_path, value):
    path = write_jsonl(tmp_path / "t.jsonl", dict(ROWS[0], id=value))
    reject, mention = read(path, id="id")
    assert (reject.id, reject.stage) == ("t.jsonl:1", CAPTION)
    assert "the id is" in reject.message
    assert mention == Mention("t.jsonl:1", "train", problem=reject.message)
    [[lost]] = join([mention]).values()
    assert lost.stage == JOIN and reject.message in lost.message
