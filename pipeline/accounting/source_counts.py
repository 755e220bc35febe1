"""The counts of the first job, and the checks of the source as a whole.

The checks come before the long work of the second job: they find an empty split, too many rejects,
or captions that the preset does not split into words.
"""

import json
from typing import NamedTuple

from pipeline.accounting.reasons import frequent_reason
from pipeline.config import PipelineConfig
from pipeline.sources.mentions import Source
from pipeline.text import build_vocabulary as counting
from tfrecords_schema.atomic_file import read_text
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import SPLITS
from tfrecords_schema.vocabulary import RESERVED, Vocabulary

TRAIN = SPLITS[0]
FEW_WORDS = 2  # captions with at most so many may be whole sentences in a script without spaces


class SourceCounts(NamedTuple):
    """Counts of the whole source, most of them by split."""

    read: dict[str, int]  # images that the source has
    named: dict[str, int]  # images that the source itself assigns to the split
    images: dict[str, int]  # images with a file, a split and a usable caption
    lengths: dict[tuple[str, int], int]  # (split, words) -> captions
    dropped: dict[str, int]  # words that the preset drops
    unwrapped: int  # captions that had markers around them
    known: int  # words of the training captions that are in the vocabulary
    captions: int  # captions in the source
    lost: int  # captions of images that were rejected
    integer_ids: int = 0  # images whose id is an integer in the source
    numbered_ids: int = 0  # other images whose id ends in a number

    def words(self) -> int:
        """The number of words of the training captions."""
        return sum(words * n for (split, words), n in self.lengths.items() if split == TRAIN)

    def has_integer_ids(self) -> bool:
        """Whether the ids that end in a number, and only they, are integers in the source."""
        return self.integer_ids > 0 and not self.numbered_ids


def read_counts(path: str) -> SourceCounts:
    """Reads the counts that the first job wrote to `path`."""
    rows = json.loads(read_text(path))

    def by_split(what: str) -> dict[str, int]:
        return {split: n for w, split, _, n in rows if w == what}

    return SourceCounts(
        read=by_split(counting.READ),
        named=by_split(counting.NAMED),
        images=by_split(counting.IMAGES),
        lengths={(split, words): n for w, split, words, n in rows if w == counting.LENGTH},
        dropped=by_split(counting.DROPPED),
        unwrapped=sum(by_split(counting.UNWRAPPED).values()),
        known=by_split(counting.KNOWN).get(TRAIN, 0),
        captions=sum(by_split(counting.CAPTIONS).values()),
        lost=sum(by_split(counting.LOST).values()),
        integer_ids=sum(by_split(counting.INTEGER_IDS).values()),
        numbered_ids=sum(by_split(counting.NUMBERED_IDS).values()),
    )


def check_splits(counts: SourceCounts, source: Source, config: PipelineConfig, table: str) -> None:
    """Raises InputError if the training split is empty, or another split that the source names.

    Args:
      counts: the counts of the first job.
      source: the source that was read.
      config: the configuration of the run.
      table: path of the rejects table.
    """
    whence = f"captions were looked for in {source.captions}"
    if config.features != "none":
        whence += f", images in {source.images}"
    if not counts.read:
        raise InputError(f"--input: there is not one image; {whence}")
    own_splits = config.split_fractions is None and source.has_splits
    if not counts.images.get(TRAIN):
        message = "--input: not one training image has a file, a split and a usable caption"
        others = {split: n for split, n in counts.images.items() if n}
        if not others:
            raise InputError(f"{message}. {frequent_reason(table)}; {whence}")
        there = " and ".join(f"{n} in {split}" for split, n in sorted(others.items()))
        by, remedy = "a hash of the image id", "--split_fractions=1,0,0 puts all of them in train"
        if own_splits:
            by = source.splits_by
            remedy = "--split_fractions=0.8,0.1,0.1 splits by hash instead"
        raise InputError(
            f"{message}: the splits are by {by}, which put {there}. {remedy}; {whence}"
        )
    named = {*source.splits, *(split for split, n in counts.named.items() if n)} & {*SPLITS}
    for split in SPLITS:
        if own_splits and split in named and not counts.images.get(split):
            raise InputError(
                f"--input: the {split} split ends empty; splits are by {source.splits_by}. "
                f"{frequent_reason(table, split)}; {whence}"
            )


def check_vocabulary(counts: SourceCounts, vocabulary: Vocabulary, config: PipelineConfig) -> None:
    """Raises InputError if the vocabulary lacks too many of the training split's words."""
    words = counts.words()
    unknown = (words - counts.known) / max(words, 1)
    if len(vocabulary) > len(RESERVED) and unknown <= config.max_unknown:
        return
    captions = {n: c for (split, n), c in counts.lengths.items() if split == TRAIN}
    short = sum(c for n, c in captions.items() if n <= FEW_WORDS) / max(sum(captions.values()), 1)
    if config.vocabulary:
        name, remedy = f"--vocabulary={config.vocabulary}", "give one of these captions' words"
    elif config.max_size:
        name, remedy = f"--max_size={config.max_size}", "give a larger one"
    else:
        name, remedy = f"--min_count={config.min_count}", "give a smaller one, such as 1"
    why = f"of {words} words in the training captions {words - counts.known} are not in it"
    if short > 0.5 and config.clean != "characters":
        why += (
            f", and {short:.0%} of the captions have at most {FEW_WORDS} words, as "
            f"--clean={config.clean} splits them at spaces"
        )
        remedy = f"for a script without spaces give --clean=characters, else {remedy}"
    if len(vocabulary) == len(RESERVED):
        raise InputError(f"{name}: the vocabulary has no word: {why}: {remedy}")
    raise InputError(
        f"{name}: the vocabulary lacks {unknown:.0%} of the words, more than --max_unknown="
        f"{config.max_unknown} allows: {why}: {remedy}, or a higher --max_unknown"
    )
