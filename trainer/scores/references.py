"""Reads, counts and tokenizes the reference captions of a split."""

from typing import NamedTuple

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from trainer.data.shard_counts import read_counted_references
from trainer.scores.metrics import Captions, References, tokenize_references


class SplitReferences(NamedTuple):
    """The reference captions of a split."""

    captions: Captions  # as people wrote them
    tokenized: References


def read_split_references(dataset: Dataset, split: str, images: int = -1) -> SplitReferences:
    """The references of the first `images` images of a split, or of all (-1).

    Raises:
      InputError: the split's counts differ from the manifest's, or nothing in it can be scored.
    """
    captions = read_counted_references(dataset, split, images)
    try:
        return SplitReferences(
            captions, tokenize_references(captions, characters=dataset.has_characters)
        )
    except ValueError as error:
        raise InputError(
            f"--data: the {split} split of {dataset.directory} cannot be scored: {error}"
        ) from error
