"""Tables of every kind for tests: written, read as a source, and joined to images."""

import gzip
import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import make_split_names
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, TextFormat
from pipeline.text.join_captions import JoinRules, join_image
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
