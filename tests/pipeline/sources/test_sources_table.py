"""Tables of every kind: their columns, formats and captions, and tables that are refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_files import (
    KINDS,
    ROWS,
    assert_refused,
    find,
    join,
    make_table,
    mentions,
    read,
    said,
    write,
    write_jsonl,
)

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.table_rows import TextFormat


def rejects(found):
    return [(row.id, row.message) for row in found if isinstance(row, Reject)]


@pytest.mark.parametrize("kind", [*KINDS, "ndjson", "csv.gz", "tsv.gz", "jsonl.gz", "json.gz"])
def test_every_kind_of_table_reads_the_same(tmp_path, kind):
    path = make_table(tmp_path, kind)
    source = find(path)
    assert source.splits_by == "column 'split'" and source.splits == ()
    assert not source.names_may_collide
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
    assert [row.uri for row in found] == [row.key for row in found]
    assert [row.uri for row in found] == [
        f"{directory}/a.jpg", f"{directory}/a.jpg", f"{directory}/deep/b c.png",
        "/there/d.jpg", "gs://bucket/e.jpg",
    ]  # fmt: skip
    assert {(row.location, row.content, row.problem) for row in found} == {("", "", "")}
    assert not any(row.is_listing for row in found)
    assert len({row.caption_id for row in found}) == 5
    assert [row.order for row in found] == sorted({row.order for row in found})
    first = {"parquet": 0, "json": 0, "csv": 2, "tsv": 2}.get(kind.removesuffix(".gz"), 1)
    assert found[0].caption_id == f"table.{kind}:{first}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_columns_go_by_the_names_that_are_given(tmp_path, kind):
    row = {"n": "7", "file": "a.jpg", "text": "A dog", "fold": "DEV", "split": "no split"}
    path = make_table(tmp_path, kind, [row])
    [found] = read(path, image="file", caption="text", split="fold", id="n")
    assert (found.key, found.split, found.uri) == ("7", "validation", f"{tmp_path}/a.jpg")
    assert (found.image_id, found.full_id) == ("", "")  # the key is the name


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


def test_rows_of_one_image_become_one_image_with_its_captions_in_order(tmp_path):
    write_jsonl(tmp_path / "t" / "1.jsonl", dict(ROWS[0], caption=["First", "Second"]))
    write_jsonl(
        tmp_path / "t" / "2.jsonl", dict(ROWS[0], caption="Third"), dict(ROWS[0], caption=["4th"])
    )
    found = read(tmp_path / "t", image_directory=str(tmp_path))
    assert [row.caption_id for row in found] == [
        "1.jsonl:1#0", "1.jsonl:1#1", "2.jsonl:1", "2.jsonl:2#0",
    ]  # fmt: skip
    [[image]] = join(found).values()
    assert image.captions == ["First", "Second", "Third", "4th"]
    assert (image.split, image.uri) == ("train", f"{tmp_path}/a.jpg")


def test_files_of_two_kinds_are_refused(tmp_path):
    paths = [make_table(tmp_path, "csv"), make_table(tmp_path, "jsonl")]
    assert_refused(tmp_path, *paths, "DIR/*.csv")
    assert len(read(tmp_path / "*.csv")) == len(ROWS)
    assert_refused(tmp_path / "table.*", *paths)


@pytest.mark.parametrize("kind", KINDS)
def test_notes_beside_tables_are_no_tables(tmp_path, kind):
    make_table(tmp_path, kind)
    if kind != "json":  # beside which a list of captions could not be told
        write(tmp_path / "dataset_info.json", '{"features": {}}')
        write(tmp_path / "README.txt", "Pictures of dogs, and of cats\n")
    write(tmp_path / "README.md", "# Dogs")
    assert len(read(tmp_path)) == len(ROWS)


def test_a_text_file_that_is_asked_for_is_a_table(tmp_path):
    path = write(tmp_path / "captions.txt", "image,caption\na.jpg,A dog\n")
    make_table(tmp_path, "jsonl")
    assert said(read(path)) == [("a.jpg", "", "A dog")]
    assert said(read(tmp_path / "*.txt")) == [("a.jpg", "", "A dog")]
    assert_refused(tmp_path / "*.[tj]*", path)


def test_a_table_that_is_utf16_is_told(tmp_path):
    row = "image,caption\na.jpg,A café\n"
    for name, encoding, is_told in [
        ("a.csv", "utf-16", True),
        ("b.csv.gz", "utf-16", True),
        ("c.csv", "utf-16-le", True),  # without its mark
        ("d.csv", "utf-8-sig", False),
        ("e.csv", "utf-8", False),
    ]:
        path = write(tmp_path / name, row.encode(encoding))
        source = find(path)
        assert source.captions == f"{path}, which is UTF-16" if is_told else path
        assert said(source.read(source.parts[0])) == [("a.jpg", "", "A café")]
    assert find(make_table(tmp_path, "parquet")).captions == f"{tmp_path}/table.parquet"


def test_the_format_of_a_table_of_text_is_followed(tmp_path):
    rows = [("a.jpg", "", 'A "hot" dog'), ("b.jpg", "", "Two, dogs")]
    for name, content, text in [
        ("1.csv", 'A "hot" dog|a.jpg\nTwo, dogs|b.jpg\n', TextFormat("|", "none")),
        ("2.csv", '"A ""hot"" dog"|a.jpg\nTwo, dogs|b.jpg\n', TextFormat("|")),
        ("3.tsv", 'A "hot" dog\ta.jpg\nTwo, dogs\tb.jpg\n', TextFormat()),
        ("4.tsv", '"A ""hot"" dog"\ta.jpg\n"Two, dogs"\tb.jpg\n', TextFormat(quoting="csv")),
        ("5.txt", '"A ""hot"" dog",a.jpg\n"Two, dogs",b.jpg\n', TextFormat()),
    ]:
        path = write(tmp_path / name, content)
        assert said(read(path, text=text._replace(header=("caption", "image")))) == rows
        mark = text.delimiter or ("\t" if "tsv" in name else ",")
        named = write(tmp_path / "named" / name, f"caption{mark}image\n{content}")
        assert said(read(named, text=text)) == rows
        assert_refused(path, "--columns=image,caption names the columns", text=text)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_may_be_in_several_columns(tmp_path, kind):
    rows = [
        {"image": "a.jpg", "caption_0": "A dog", "caption_1": "A cat"},
        {"image": "b.jpg", "caption_0": "", "caption_1": "A cow"},
        {"image": "c.jpg", "caption_0": "", "caption_1": ""},
    ]
    path = make_table(tmp_path, kind, rows)
    found = read(path, caption="caption_0,caption_1")
    captions = [("a.jpg", "", "A dog"), ("a.jpg", "", "A cat"), ("b.jpg", "", "A cow")]
    assert said(found) == [*captions, ("c.jpg", "", "")]
    assert [message for _, message in rejects(found)] == ["empty caption"]
    assert_refused(path, "'caption_2'", caption="caption_0,caption_2")


@pytest.mark.parametrize("kind", [*KINDS, "json.gz"])
def test_captions_may_be_fields_of_structs_or_lists_in_cells(tmp_path, kind):
    sentences = [{"raw": "A dog", "id": 1}, {"raw": "A cat", "id": 2}]
    texts = ["A cow", 'It\'s a "cow"']
    row = {"image": "a.jpg", "sentences": sentences, "texts": texts}
    if kind in ("csv", "tsv"):
        row |= {"sentences": json.dumps(sentences), "texts": json.dumps(texts)}
    path = make_table(tmp_path, kind, [row])
    assert [r.text for r in read(path, caption="sentences.raw")] == ["A dog", "A cat"]
    assert [r.text for r in read(path, caption="texts")] == texts
    assert len({r.caption_id for r in read(path, caption="texts")}) == 2
    together = read(path, caption="texts,sentences.raw")
    assert [r.text for r in together] == [*texts, "A dog", "A cat"]


def test_a_directory_without_tables_is_named(tmp_path):
    write(tmp_path / "notes.md", "x")
    assert_refused(tmp_path, tmp_path, ".parquet", ".csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_with_other_columns_are_named(tmp_path, kind):
    one = make_table(tmp_path / "t" / "1", kind)
    other = make_table(tmp_path / "t" / "2", kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert_refused(tmp_path / "t" / "*" / "*", one, other, "'split'")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_row_with_a_bad_caption_keeps_its_image(tmp_path, kind):
    bad = [dict(ROWS[2], caption=" "), dict(ROWS[2], image="")]
    found = read(make_table(tmp_path, kind, [ROWS[0], *bad, ROWS[1]]))
    number = {"csv": 3, "jsonl": 2, "parquet": 1}[kind]
    name = f"table.{kind}:{number}"
    assert rejects(found) == [(name, "empty caption")]
    assert found[1].stage == CAPTION and found[1].split == UNASSIGNED
    assert (found[2].uri, found[2].split) == (f"{tmp_path}/deep/b c.png", "validation")
    assert (found[2].text, found[2].caption_id, found[2].order) == ("", "", 0)
    assert (found[3].key, found[3].uri) == (f"table.{kind}:{number + 1}", "")  # without image
    assert "'image' is empty" in found[3].problem
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
        f"{first}#1", f"{first + 1}", f"{first + 2}",
    ]  # fmt: skip
    assert [row.text for row in mentions(found)] == ["A dog", "A cat", "", ""]
    assert {row.uri for row in mentions(found)} == {f"{tmp_path}/a.jpg"}


def test_notes_beside_a_folder_of_tables_are_no_tables(tmp_path):
    make_table(tmp_path / "data", "parquet", [{"image": "a.jpg", "caption": "A dog"}])
    write(tmp_path / "dataset_infos.json", '{"default": {"features": []}}')
    write(tmp_path / "README.txt", "image,caption")
    assert said(read(tmp_path)) == [("a.jpg", "", "A dog")]


def test_a_table_in_json_beside_one_in_csv_is_of_another_kind(tmp_path):
    write(tmp_path / "b.json", '[{"image": "a.jpg", "caption": "A dog"}]')
    make_table(tmp_path, "csv", [{"image": "a.jpg", "caption": "A dog"}])
    assert_refused(tmp_path, "two kinds", "b.json", "table.csv")
