"""The most frequent reason in a rejects table, for a message."""

import collections
import re

from pipeline.accounting.rejects import CAPTION, DUPLICATE, SPLIT, Reject, read_rejects
from pipeline.text.join_captions import NO_CAPTION
from tfrecords_schema.shards import SPLITS

MAX_KINDS = 10_000  # largest number of kinds of messages, to bound memory
# The parts that differ between messages of one kind: quoted text, paths, numbers.
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\d+")


def frequent_reason(table: str, split: str = "", of_captions: bool = False) -> str:
    """A sentence with the most frequent reason, its count and an example.

    Args:
      table: path of the rejects table.
      split: the split whose rejects count; "" means all.
      of_captions: whether rejects of captions count, instead of images; if none do, all count.
    """
    kinds: collections.Counter = collections.Counter()
    examples: dict[tuple[str, str, str], Reject] = {}
    for row in read_rejects(table):
        # An image in several splits is counted in one of them, but is lost to the others too.
        of_another = split and row.split in SPLITS and row.split != split and row.stage != SPLIT
        if row.stage == DUPLICATE or of_another:
            continue
        group = "caption" if row.stage == CAPTION else "image"
        kind = (group, row.stage, _PARTICULARS.sub("…", row.message.replace(row.id, "…")))
        if kind in kinds or len(kinds) < MAX_KINDS:
            kinds[kind] += 1
            examples.setdefault(kind, row)
    captions = collections.Counter({k: n for k, n in kinds.items() if k[0] == "caption"})
    wanted = captions if of_captions else kinds - captions
    if not kinds:
        return f"Nothing was rejected, see {table}"
    reason, row = _most_frequent(wanted or kinds, examples)
    if (
        row.message == NO_CAPTION and captions
    ):  # the reason is then what was wrong with the captions
        reason = f"{reason}, and of captions {_most_frequent(captions, examples)[0]}"
    return f"The most frequent reason {reason}; all are in {table}"


def _most_frequent(
    kinds: collections.Counter, examples: dict[tuple[str, str, str], Reject]
) -> tuple[str, Reject]:
    [(kind, count)] = kinds.most_common(1)
    row = examples[kind]
    return f"({count} of {kinds.total()}): {row.message} ({row.id})", row
