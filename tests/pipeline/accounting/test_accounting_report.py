"""The report: rates and sums out of the receipts of shards."""

import json

import pytest
from small_configs import pipeline_config

from pipeline.accounting.receipts import Receipt
from pipeline.accounting.rejects import CAPTION, DECODE
from pipeline.accounting.report import count_split, make_report, sum_seconds, summarize
from pipeline.accounting.source_counts import SourceCounts
from tfrecords_schema.manifest import Encoder, ImageCounts, Manifest, Shard

NOTHING = {"words": 0, "unknown_words": 0, "truncated_captions": 0, "known_captions": 0}
COUNTS = SourceCounts(
    read={"train": 7, "test": 2}, named={}, images={"train": 6, "test": 2},
    lengths={("train", 9): 3, ("train", 10): 1, ("test", 3): 2},
    dropped={}, unwrapped=0, known=0, captions=6, lost=0,
)  # fmt: skip


def receipt(images=1, captions=5, time=0.0, seconds=None, **text):
    return Receipt("", dict(images=images, captions=captions), text, [], seconds or {}, time)


RECEIPTS = {
    "train": [
        receipt(4, 20, 15.0, {"read": 1.0, "encode": 4.0}, words=100, unknown_words=4,
                truncated_captions=1, known_captions=17),
        receipt(0, 0, 16.0),
        receipt(1, 5, 5.0, {"read": 0.5, "write": 2.0}, words=50, unknown_words=2,
                truncated_captions=0, known_captions=3),
    ],
    "test": [
        receipt(2, 10, 17.0, {"encode": 1.0}, words=60, unknown_words=15, truncated_captions=2,
                known_captions=0),
    ],
}  # fmt: skip


def report(receipts=RECEIPTS, rejected=None, counts=COUNTS, ended=22.0):
    content = make_report(receipts, rejected or {}, counts, started=7.0, counted=10.0, ended=ended)
    return content | {"same_pictures": [0, []]}


def test_the_counts_of_a_split_are_those_of_its_shards():
    assert count_split(RECEIPTS["train"]) == {
        "captions": 25,
        "words": 150,
        "truncated_captions": 1,
        "out_of_vocabulary_rate": 6 / 150,
        "coverage": 20 / 25,
    }


@pytest.mark.parametrize("receipts", [[], [receipt(0, 0)], [receipt(0, 0, **NOTHING)] * 2])
def test_a_split_without_captions_has_rates_of_nothing(receipts):
    assert count_split(receipts) == {
        "captions": 0,
        "words": 0,
        "truncated_captions": 0,
        "out_of_vocabulary_rate": 0.0,
        "coverage": 0.0,
    }


def test_captions_without_a_word_are_no_division_by_zero():
    counted = count_split([receipt(1, 2, **NOTHING | {"known_captions": 2})])
    assert (counted["out_of_vocabulary_rate"], counted["coverage"]) == (0.0, 1.0)


def test_seconds_are_added_up_by_stage():
    assert sum_seconds(RECEIPTS) == {"read": 1.5, "encode": 5.0, "write": 2.0}
    assert sum_seconds({"train": []}) == {}


def test_the_rate_is_of_the_images_that_this_run_has_written():
    content = report()
    assert content["seconds"] == {"count": 3.0, "shards": 12.0}
    assert content["images_per_second"] == (4 + 0 + 2) / 12.0  # one was there before
    assert report(RECEIPTS | {"test": []}, ended=14.0)["images_per_second"] == 1.0
    before = {"train": [receipt(9, 9, time=9.0)]}
    assert report(before)["images_per_second"] == 0.0


def test_the_report_has_what_both_jobs_have_counted():
    content = report(rejected={("train", DECODE): 1, ("test", CAPTION): 2})
    assert content["images"] == {"train": 6, "test": 2}
    assert content["captions_by_length"] == [["test", 3, 2], ["train", 9, 3], ["train", 10, 1]]
    assert content["rejected"] == [["test", CAPTION, 2], ["train", DECODE, 1]]
    assert content["text"].keys() == {"train", "test"}
    assert content["text"]["test"]["out_of_vocabulary_rate"] == 0.25
    assert json.loads(json.dumps(content)) == content
    assert (content["dropped_words"], content["unwrapped_captions"]) == ({}, 0)


def manifest(**changes):
    fields = dict(
        splits={"train": [Shard("a", 5, 25, 9, ""), Shard("b", 0, 0, 0, "")], "test": []},
        image_counts={
            "train": ImageCounts(8, 5, 1, 2), "validation": ImageCounts(),
            "test": ImageCounts(2, 2),
            "unassigned": ImageCounts(3, 0, 3),
        },
        captions_rejected=4, vocabulary_size=104, vocabulary_sha256="",
        encoder=Encoder("tiny", "", 64, (8, 8, 128)), feature_dtype="float16", config={},
        versions={},
    )  # fmt: skip
    return Manifest(**{**fields, **changes})


def summary(manifest, same=(0, ()), dropped=None, **flags):
    """The lines with the cells of a row separated by single spaces."""
    config = pipeline_config("in", "out", **flags)
    content = report(counts=COUNTS._replace(dropped=dropped or {}))
    content |= {"same_pictures": same}
    lines = summarize(config, manifest, content, "out/rejected.parquet")
    return [" ".join(line.split()) for line in lines]


def test_the_summary_has_the_counts_the_words_and_where_it_lies():
    assert summary(manifest(), min_count=5, max_length=30) == [
        "split read written rejected duplicates shards unknown words",
        "train 8 5 1 2 2 4.00%",
        "test 2 2 0 0 0 25.00%",
        "unassigned 3 0 3 0 0",
        "100 words seen 5 times or more; 4 captions rejected, 3 cut to 30 words",
        "tiny features 8x8x128 float16",
        "3 images are in no split of the source, or were left out by a flag",
        "What was left out, and why: out/rejected.parquet",
        "Dataset complete in 15 s: out",
    ]


def test_the_summary_leaves_out_what_is_not_there():
    counts = {split: ImageCounts(2, 2) for split in ("train", "test")} | {
        "unassigned": ImageCounts()
    }
    text = manifest(encoder=None, image_counts=counts, captions_rejected=0)
    assert summary(text, features="none", vocabulary="words.txt") == [
        "split read written rejected duplicates shards unknown words",
        "train 2 2 0 0 2 4.00%",
        "test 2 2 0 0 0 25.00%",
        "100 words of words.txt; 0 captions rejected, 3 cut to 50 words",
        "Dataset complete in 15 s: out",
    ]


@pytest.mark.parametrize(
    "train, unassigned, captions",
    [
        (ImageCounts(2, 2), ImageCounts(), 1),
        (ImageCounts(3, 2, 0, 1), ImageCounts(), 0),
        (ImageCounts(2, 2), ImageCounts(1, 0, 1), 0),
    ],
)
def test_whatever_was_left_out_the_table_is_pointed_at(train, unassigned, captions):
    counts = {"train": train, "unassigned": unassigned}
    lines = summary(manifest(image_counts=counts, captions_rejected=captions))
    assert "What was left out, and why: out/rejected.parquet" in lines


def test_dropped_words_and_pictures_in_several_splits_are_told():
    counts = {"train": ImageCounts(2, 2), "unassigned": ImageCounts()}
    same = (2, [[("test", "a.jpg"), ("train", "b.jpg")]])
    lines = summary(manifest(image_counts=counts), same, {"train": 3, "test": 4}, clean="tutorial")
    assert "7 words of the captions were dropped by --clean=tutorial" in lines
    assert (
        "2 pictures are in more than one split, by their bytes, such as a.jpg (test) and b.jpg "
        "(train)"
    ) in lines
