"""Receipts: read as written, not believed without their file, forgotten with rejects."""

import pytest

from pipeline.accounting.receipts import (
    Receipt,
    complete_shards,
    forget_rejected,
    read_receipt,
    write_receipt,
)
from pipeline.accounting.rejects import DECODE, Reject

SHARD = "captions-train.tfrecord-00000-of-00001"


def receipt(size=4, rejects=(), file=SHARD):
    entry = dict(file=file, images=1, captions=5, bytes=size, sha256="ab")
    rows = [list(Reject(name, "", "train", DECODE, "ValueError", "")) for name in rejects]
    return Receipt("fingerprint", entry, {"words": 9}, rows, {"read": 0.5}, 12.5)


def test_the_receipt_of_a_complete_shard_is_read_as_it_was_written(tmp_path):
    (tmp_path / SHARD).write_bytes(b"four")
    pictures = [["0badcafe", "a.jpg"]]
    written = receipt(rejects=["a.jpg", "caf\u00e9.jpg"])._replace(pictures=pictures)
    write_receipt(str(tmp_path), written)
    assert read_receipt(str(tmp_path), SHARD) == written


def test_a_shard_without_receipt_is_not_complete(tmp_path):
    (tmp_path / SHARD).write_bytes(b"four")
    assert read_receipt(str(tmp_path), SHARD) is None


@pytest.mark.parametrize("content", [None, b"", b"fou", b"fours"])
def test_a_receipt_without_its_file_is_not_believed(tmp_path, content):
    write_receipt(str(tmp_path), receipt(size=4))
    if content is not None:
        (tmp_path / SHARD).write_bytes(content)
    assert read_receipt(str(tmp_path), SHARD) is None


def test_only_the_receipts_of_shards_with_rejects_are_forgotten(tmp_path):
    directory = str(tmp_path)
    names = [f"captions-train.tfrecord-0000{n}-of-00004" for n in range(4)]
    for name in names[:3]:
        (tmp_path / name).write_bytes(b"four")
    for name, rejects in zip(names, [["a"], [], ["b", "c"], ["d"]], strict=True):
        write_receipt(directory, receipt(rejects=rejects, file=name))
    (tmp_path / "receipts" / "config.json").write_text("{}")
    (tmp_path / "receipts" / f"{names[1]}.json.incomplete-0badcafe").write_text("{")
    assert forget_rejected(directory) == 2
    complete = [name for name in names if read_receipt(directory, name) is not None]
    assert complete == [names[1]]
    assert (tmp_path / "receipts" / "config.json").exists()
    assert forget_rejected(directory) == 0


def test_shards_are_counted_by_their_receipts(dataset, tmp_path):
    assert complete_shards(dataset) == f"6 complete shards are kept in {dataset}"
    assert complete_shards(str(tmp_path)) == f"no shard is complete yet in {tmp_path}"
    (tmp_path / "receipts").mkdir()
    shard = "captions-train.tfrecord-00000-of-00002.json"
    for name in ("owner.json", "config.json", "shard_counts.json", f"{shard}.incomplete-abc"):
        (tmp_path / "receipts" / name).write_text("{}")
    assert complete_shards(str(tmp_path)) == f"no shard is complete yet in {tmp_path}"
    (tmp_path / "receipts" / shard).write_text("{}")
    assert complete_shards(str(tmp_path)) == f"1 complete shard is kept in {tmp_path}"
