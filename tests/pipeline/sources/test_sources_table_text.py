"""Kinds of tables of text by their names, and that each kind is read as what it is."""

import csv
import gzip
import io
import json

import pytest

from pipeline.sources.table_rows import Cells, Columns, TextFormat
from pipeline.sources.table_text import SUFFIXES, column_names, read_table, table_kind

ROWS = [
    {"image": "a.jpg", "caption": "A dog", "split": "train"},
    {"image": "b c.png", "caption": "A café, 犬", "split": ""},
]


def test_the_kind_of_a_table_is_that_of_its_suffix():
    for name, kind in {
        "a.csv": "csv", "a.CSV.gz": "csv", "a.txt": "csv", "a.txt.gz": "csv", "a.tsv": "tsv",
        "a.tsv.GZ": "tsv", "a.jsonl": "jsonl", "a.ndjson.gz": "jsonl", "a.json": "json",
        "b.csv/a.json.gz": "json", "a.parquet": "parquet", "a.parquet.gz": "", "a.jpg": "",
        "csv": "", "a.csv.bz2": "", "a.gz": "",
    }.items():  # fmt: skip
        assert table_kind(f"/there/{name}") == kind, name
        assert name.lower().endswith(SUFFIXES) == bool(kind)


def written(kind):
    if kind == "json":
        return json.dumps(ROWS)
    if kind in ("jsonl", "ndjson"):
        return "\n".join(map(json.dumps, ROWS))
    out = io.StringIO()
    if kind == "tsv":
        return "\n".join("\t".join(row) for row in [ROWS[0], *(r.values() for r in ROWS)])
    writer = csv.DictWriter(out, ROWS[0])
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["csv", "txt", "tsv", "jsonl", "ndjson", "json"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_every_kind_of_table_reads_the_same(tmp_path, kind, suffix, encoding):
    path = tmp_path / f"t.{kind}{suffix}"
    content = written(kind).encode(encoding)
    path.write_bytes(gzip.compress(content) if suffix else content)
    assert column_names(str(path), TextFormat()) == list(ROWS[0])
    found = [cells for _, cells in read_table(str(path), TextFormat(), Columns())]
    assert found == [Cells(*row.values()) for row in ROWS]


def test_the_flags_of_a_table_are_followed(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text('"A dog"|a.jpg\n')
    text = TextFormat("|", "none", ("caption", "image"))
    assert column_names(str(path), text) == ["caption", "image"]
    [(number, cells)] = read_table(str(path), text, Columns(split=""))
    assert (number, cells) == (1, Cells("a.jpg", '"A dog"'))
