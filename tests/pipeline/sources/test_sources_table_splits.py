"""Splits of tables: by a column, by the names of files, and by names that are given."""

from pathlib import Path

import pytest
from table_files import (
    KINDS,
    ROWS,
    assert_refused,
    find,
    make_table,
    mentions,
    read,
    said,
    write,
    write_jsonl,
    write_parquet,
)

from pipeline.sources.split_names import BY_NAME, make_split_names


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_without_splits_has_none(tmp_path, kind):
    path = make_table(tmp_path, kind, [{"image": "a.jpg", "caption": "A dog"}])
    assert not find(path).has_splits
    assert said(read(path)) == [("a.jpg", "", "A dog")]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_split_column_without_a_name_is_none(tmp_path, kind):
    path = make_table(tmp_path, kind)
    assert not find(path, split="").has_splits
    assert {row.split for row in read(path, split="")} == {""}


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
