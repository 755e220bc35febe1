"""The report of a pipeline run: `report.json` and a summary."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.accounting.receipts import Receipt
from pipeline.accounting.rejects import UNASSIGNED
from pipeline.accounting.source_counts import SourceCounts
from pipeline.config import PipelineConfig
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.vocabulary import RESERVED

Receipts = Mapping[str, list[Receipt]]  # split -> one receipt a shard


def make_report(
    receipts: Receipts,
    rejected: dict[tuple[str, str], int],
    counts: SourceCounts,
    started: float,
    counted: float,
    ended: float,
) -> dict[str, Any]:
    """The content of `report.json`.

    Args:
      receipts: the receipts of all shards.
      rejected: (split, stage) -> rows of the rejects table.
      counts: the counts of the first job.
      started: start of the run, in seconds since 1970.
      counted: end of the first job, in seconds since 1970.
      ended: end of the second job, in seconds since 1970.
    """
    new = [receipt for split in receipts.values() for receipt in split if receipt.time > counted]
    images = sum(receipt.shard["images"] for receipt in new)
    return {
        "seconds": {"count": counted - started, "shards": ended - counted},
        "seconds_in_stage": sum_seconds(receipts),  # of all runs, summed over threads
        "images_per_second": images / (ended - counted),  # of this run
        "images": counts.images,
        "captions_by_length": [[*key, n] for key, n in sorted(counts.lengths.items())],
        "dropped_words": counts.dropped,
        "unwrapped_captions": counts.unwrapped,
        "text": {split: count_split(split_receipts) for split, split_receipts in receipts.items()},
        "rejected": [[*key, n] for key, n in sorted(rejected.items())],
    }


def sum_seconds(receipts: Receipts) -> dict[str, float]:
    """The time in each stage, summed over shards and, except for writing, over threads."""
    total: collections.Counter = collections.Counter()
    for split_receipts in receipts.values():
        for receipt in split_receipts:
            total.update(receipt.seconds)
    return dict(total)


def count_split(receipts: list[Receipt]) -> dict[str, float]:
    """Statistics of the captions of a split.

    Returns:
      `captions`, `words` (those that became ids), `truncated_captions`;
      `out_of_vocabulary_rate`, the share of the words that are not in the vocabulary, and
      `coverage`, the share of the captions whose words are all in the vocabulary.
    """
    total: collections.Counter = collections.Counter()
    for receipt in receipts:
        total.update(receipt.text)
        total["captions"] += receipt.shard["captions"]
    return {
        "captions": total["captions"],
        "words": total["words"],
        "truncated_captions": total["truncated_captions"],
        "out_of_vocabulary_rate": total["unknown_words"] / max(total["words"], 1),
        "coverage": total["known_captions"] / max(total["captions"], 1),
    }


def summarize(
    config: PipelineConfig, manifest: Manifest, report: dict[str, Any], rejects_path: str
) -> Iterator[str]:
    """The lines of the summary: images and shards of each split, rejects, the dataset's path."""
    columns = ("read", "written", "rejected", "duplicates", "shards", "unknown words")
    yield _row("split", columns)
    for split, counts in manifest.image_counts.items():
        if counts.read:
            text = report["text"].get(split)
            unknown = f"{text['out_of_vocabulary_rate']:.2%}" if text else ""
            shards = len(manifest.splits.get(split, []))
            yield _row(split, (*dataclasses.astuple(counts), shards, unknown))
    words = manifest.vocabulary_size - len(RESERVED)
    whence = f"of {config.vocabulary}" if config.vocabulary else f"seen {config.min_count} times"
    truncated = sum(text["truncated_captions"] for text in report["text"].values())
    yield (
        f"{words} words {whence}{'' if config.vocabulary else ' or more'}; "
        f"{manifest.captions_rejected} captions rejected, "
        f"{truncated} cut to {config.max_length} words"
    )
    if manifest.encoder is not None:
        shape = "x".join(map(str, manifest.encoder.feature_shape))
        yield f"{manifest.encoder.name} features {shape} {manifest.feature_dtype}"
    if left_out := manifest.image_counts[UNASSIGNED].read:
        yield f"{left_out} images are in no split of the source, or were left out by a flag"
    dropped = sum(report["dropped_words"].values())
    if dropped:
        yield f"{dropped} words of the captions were dropped by --clean={config.clean}"
    same, places = report["same_pictures"]
    if same:
        which = " and ".join(f"{image_id} ({split})" for split, image_id in places[0])
        yield f"{same} pictures are in more than one split, by their bytes, such as {which}"
    everything = manifest.image_counts.values()
    if any(c.read > c.written for c in everything) or manifest.captions_rejected:
        yield f"What was left out, and why: {rejects_path}"
    yield f"Dataset complete in {sum(report['seconds'].values()):.0f} s: {config.output}"


def _row(split: str, cells: tuple[Any, ...]) -> str:
    return f"{split:<12}" + "".join(f"{cell:>14}" for cell in cells)
