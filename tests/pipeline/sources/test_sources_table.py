"""Tables of every kind: what an image is, its split, bad rows, and tables that are refused."""

import gzip
import itertools
import json
import pickle
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accounting.rejects import CAPTION, JOIN, SPLIT, UNASSIGNED, Reject
from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import BY_NAME, make_split_names
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, TextFormat, short_names
from pipeline.text.join_captions import JoinRules, image_name, join_image
from tfrecords_schema.errors import InputError

NAMES = make_split_names("train", None)
HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def write_parquet(path, columns, types=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(list(types.items())) if types else None
    pq.write_table(pa.table(columns, schema=schema), path, **options)
    return str(path)


def write_jsonl(path, *rows):
    return write(path, "".join(f"{json.dumps(row)}\n" for row in rows))


def write_inline(path, *rows, **options):
    """Rows of (bytes, path, caption), as Hugging Face writes them."""
    images = [{"bytes": content, "path": name} for content, name, _ in rows]
    columns = {"image": images, "caption": [caption for *_, caption in rows]}
    types = {"image": HUGGING_FACE, "caption": pa.string()}
    return write_parquet(path, columns, types, **options)


def find(path, staging="", image_directory="", text=None, split_names=NAMES, **columns):
    where = str(path), str(image_directory)
    text = text or TextFormat()
    source = find_table(*where, Columns(**columns), text, str(staging), split_names)
    return pickle.loads(pickle.dumps(source))  # as it is shipped to the workers


def read(path, *args, **options):
    source = find(path, *args, **options)
    return [found for part in source.parts for found in source.read(part)]


def join(found, fractions=None):
    """What becomes of each image, by its key."""
    rules = JoinRules("captions", "images", fractions, True, "coco")
    by_key: dict = {}
    for mention in mentions(found):
        by_key.setdefault(mention.key, []).append(mention)
    return {key: list(join_image(key, own[::-1], rules)) for key, own in by_key.items()}


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
    return str(error.value)


ROWS = [
    {"image": "a.jpg", "caption": "A dog", "split": "train"},
    {"image": "a.jpg", "caption": "One dog, two cats", "split": "train"},
    {"image": "deep/b c.png", "caption": 'A "hot" café', "split": "val"},
    {"image": "/there/d.jpg", "caption": "Two\nlines", "split": "test"},
    {"image": "gs://bucket/e.jpg", "caption": "Far", "split": ""},
]


def make_table(directory, kind, rows=ROWS):
    path = directory / f"table.{kind}"
    kind = kind.removesuffix(".gz")
    if kind == "parquet":
        return write_parquet(path, {key: [row[key] for row in rows] for key in rows[0]})
    if kind in ("jsonl", "ndjson"):
        return write_jsonl(path, *rows)
    if kind == "json":
        return write(path, json.dumps(rows, indent=1))
    if kind == "tsv":  # has no quotes, so that no cell can have a line break
        plain = [[cell.replace("\n", " ") for cell in row.values()] for row in rows]
        return write(path, "\n".join(map("\t".join, [list(rows[0]), *plain])))
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row.values()] for row in rows]
    return write(path, "\n".join(map(",".join, [list(rows[0]), *quoted])))


KINDS = ("csv", "tsv", "jsonl", "json", "parquet")


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
def test_a_table_without_splits_has_none(tmp_path, kind):
    path = make_table(tmp_path, kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert not find(path).has_splits
    assert said(read(path)) == [("a.jpg", "", "A dog")]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_columns_go_by_the_names_that_are_given(tmp_path, kind):
    row = {"n": "7", "file": "a.jpg", "text": "A dog", "fold": "DEV", "split": "no split"}
    path = make_table(tmp_path, kind, [row])
    [found] = read(path, image="file", caption="text", split="fold", id="n")
    assert (found.key, found.split, found.uri) == ("7", "validation", f"{tmp_path}/a.jpg")
    assert (found.image_id, found.full_id) == ("", "")  # the key is the name


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
@pytest.mark.parametrize("value", ["fold", "trainval", "1"])
def test_a_split_that_is_none_is_named_with_its_row(tmp_path, kind, value):
    path = make_table(tmp_path, kind, [ROWS[0], dict(ROWS[1], split=value)])
    row = {"csv": "row 3", "jsonl": "row 2", "parquet": "row 1"}[kind]
    assert_refused(path, path, row, repr(value), "train")


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_split_in_a_later_row_alone_is_not_passed_over(tmp_path, kind):
    path = make_table(tmp_path, kind, [{"image": "a.jpg", "caption": "A dog"}, ROWS[0]])
    row = {"jsonl": "row 2", "json": "row 1"}[kind]
    assert_refused(path, row, "'train'", "the first row", "--split_fractions")
    assert len(read(path, split_names={})) == 2


def pictures_of_splits(source):
    """{split: names of its images}."""
    named: dict = {}
    for part in source.parts:
        for mention in source.read(part):
            named.setdefault(mention.split, []).append(mention.image_id)
    return named


@pytest.mark.parametrize(
    "train, validation, test",
    [
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test.parquet"),
        ("captions_train2014.csv", "captions_val.csv", "captions_test.csv"),
        ("restval.jsonl", "dev.jsonl", "my-Test.jsonl"),
        ("train.csv.gz", "val.csv.gz", "test.csv.gz"),
        ("train.json", "valid.json", "testing.json"),
        ("train/metadata.tsv", "val/metadata.tsv", "TEST/metadata.tsv"),
    ],
)
def test_splits_go_by_the_names_of_files_or_folders(tmp_path, train, validation, test):
    for name in (train, validation, test):
        folder, kind = (tmp_path / "set" / name).parent, name.partition(".")[2]
        rows = [{"image": f"/{name}-{i}.jpg", "caption": "A dog"} for i in range(2)]
        Path(make_table(folder, kind, rows)).rename(tmp_path / "set" / name)
    source = find(tmp_path / "set")
    assert source.splits_by == BY_NAME and source.splits == ("test", "train", "validation")
    splits = {"train": train, "validation": validation, "test": test}
    assert pictures_of_splits(source) == {
        split: [f"/{name}-0.jpg", f"/{name}-1.jpg"] for split, name in splits.items()
    }
    by_hash = find(tmp_path / "set", split_names={})
    assert not by_hash.has_splits and by_hash.splits == ()
    assert list(pictures_of_splits(by_hash)) == [""]


def test_a_split_column_wins_over_the_names_of_files(tmp_path):
    path = Path(make_table(tmp_path, "csv")).rename(tmp_path / "train.csv")
    source = find(path)
    assert source.splits_by == "column 'split'" and source.splits == ()
    assert {row.split for row in read(path)} == {"train", "validation", "test", ""}
    assert {row.split for row in read(path, split="")} == {"train"}


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_splits_may_be_given(tmp_path, kind):
    rows = [dict(ROWS[0], split=split) for split in ("Fold1", "restval", "test", "junk")]
    path = make_table(tmp_path, kind, rows)
    assert_refused(path, "'Fold1'", "--split_names=NAME=train")
    given = {"fold1": "train", "junk": "leave_out"}
    names = make_split_names("validation", given)
    splits = ["train", "validation", "test", "leave_out"]
    assert [row.split for row in read(path, split_names=names)] == splits
    one = make_table(tmp_path / "fold1", kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert [row.split for row in read(one, split_names=names)] == ["train"]
    assert [row.split for row in read(one)] == [""]


def test_a_file_that_names_no_split_or_two_is_refused(tmp_path):
    row = {"image": "a.jpg", "caption": "A dog"}
    train = write_jsonl(tmp_path / "mixed" / "train.jsonl", row)
    more = write_jsonl(tmp_path / "mixed" / "more.jsonl", row)
    assert_refused(tmp_path / "mixed", train, more, "--split_fractions=0.8,0.1,0.1")
    both = write_jsonl(tmp_path / "train_and_val.jsonl", row)
    assert_refused(both, both, "train and validation", "--split_fractions=0.8,0.1,0.1")
    for path in (tmp_path / "mixed", both):
        assert {row.split for row in read(path, split_names={})} == {""}


def test_a_split_column_that_does_not_count_is_not_looked_at(tmp_path):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": [1]}
    for path in (
        write_parquet(tmp_path / "t.parquet", columns),
        write(tmp_path / "t.csv", "image,caption,split\na.jpg,A dog,1\n"),
        write_jsonl(tmp_path / "t.jsonl", {"image": "a.jpg", "caption": "A dog", "split": 1}),
    ):
        assert_refused(path, "split", "string" if path.endswith("t") else "'1'")
        assert not find(path, split_names={}).has_splits
        assert said(read(path, split_names={})) == [("a.jpg", "", "A dog")]


def test_the_index_that_pandas_writes_is_no_split(tmp_path):
    path = write(tmp_path / "t.csv", ",image,caption\n0,a.jpg,A dog\n1,b.jpg,A cat\n")
    assert not find(path).has_splits
    assert said(read(path)) == [("a.jpg", "", "A dog"), ("b.jpg", "", "A cat")]


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


def test_paths_are_relative_to_the_image_directory(tmp_path):
    write(tmp_path / "images" / "a.jpg", b"bytes")
    path = make_table(tmp_path, "csv", ROWS[:1])
    [found] = read(path, image_directory=str(tmp_path / "images"))
    assert read_image_bytes(found.location or found.uri) == b"bytes"
    no = tmp_path / "no"
    assert_refused(path, f"--image_directory: directory {no}", image_directory=no, staging=tmp_path)
    assert len(read(path, image_directory=no)) == 1  # no image is opened


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


def test_notes_beside_a_folder_of_tables_are_no_tables(tmp_path):
    make_table(tmp_path / "data", "parquet", [{"image": "a.jpg", "caption": "A dog"}])
    write(tmp_path / "dataset_infos.json", '{"default": {"features": []}}')
    write(tmp_path / "README.txt", "image,caption")
    assert said(read(tmp_path)) == [("a.jpg", "", "A dog")]


def test_a_table_in_json_beside_one_in_csv_is_of_another_kind(tmp_path):
    write(tmp_path / "b.json", '[{"image": "a.jpg", "caption": "A dog"}]')
    make_table(tmp_path, "csv", [{"image": "a.jpg", "caption": "A dog"}])
    assert_refused(tmp_path, "two kinds", "b.json", "table.csv")
