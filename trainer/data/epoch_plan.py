"""Which shards are read by whom, and in how many batches, in one epoch.

Shards, in an order drawn from (seed, epoch), are put into segments, groups that share no batch, so
that a run continued in the middle of an epoch reads no more than a segment to find its place. The
shards of a segment are dealt to the readers, each of which has an equal part of every batch. All
this follows from the manifest alone: nobody need know what another reader finds in its shards.
"""

from typing import NamedTuple

import numpy as np

from tfrecords_schema.manifest import Manifest, Shard

SEGMENT_SHARDS, SEGMENT_IMAGES, SEGMENT_BATCHES = 16, 16_384, 512  # at least; shards: a reader
MOST_PADDING = 0.1  # of an epoch's batches, for want of shards to share out


class Segment(NamedTuple):
    """Shards that share no batch with others."""

    shards_by_reader: list[list[Shard]]
    batches: int


class EpochPlan(NamedTuple):
    """One epoch of the training split."""

    batch_size: int  # images in a global batch
    readers: int
    segments: list[Segment]
    seed: int  # for what is drawn within the segments

    @property
    def batches(self) -> int:
        """Of the epoch."""
        return sum(segment.batches for segment in self.segments)

    @property
    def images_of_reader(self) -> int:
        """In a batch, from each reader."""
        return self.batch_size // self.readers


def plan_epoch(
    manifest: Manifest, batch_size: int, readers: int, seed: int, epoch: int
) -> EpochPlan:
    """The plan of an epoch.

    Args:
      manifest: of the dataset.
      batch_size: images in a global batch.
      readers: how many are wanted. There are fewer where they could not have equal parts of a
        batch, or where shards are so few that more than MOST_PADDING of the batches would be empty.
      seed: of the run.
      epoch: from 0.
    """
    file_seed, seed_within = np.random.SeedSequence([seed, epoch]).generate_state(2)
    shards = [shard for shard in manifest.splits["train"] if shard.images]
    np.random.default_rng(file_seed).shuffle(shards)
    fewest = -(-manifest.images("train") // batch_size)
    plans = (
        EpochPlan(batch_size, n, _segments(shards, batch_size, n), int(seed_within))
        for n in range(readers, 0, -1)
        if batch_size % n == 0
    )
    return next(
        plan for plan in plans if plan.readers == 1 or plan.batches * (1 - MOST_PADDING) <= fewest
    )


def _segments(shards: list[Shard], batch_size: int, readers: int) -> list[Segment]:
    ends = segment_ends([shard.images for shard in shards], batch_size, readers)
    segments = []
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        dealt = deal(shards[first:end], readers)
        most = max(sum(shard.images for shard in own) for own in dealt)
        segments.append(Segment(dealt, -(-most // (batch_size // readers))))
    return segments


def segment_ends(images: list[int], batch_size: int, readers: int) -> list[int]:
    """Where segments end, and the next ones begin, among shards of so many images each."""
    enough = max(SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size)
    ends, first, in_segment = [], 0, 0
    for end, count in enumerate(images, 1):
        in_segment += count
        if end - first >= SEGMENT_SHARDS * readers and in_segment >= enough:
            ends.append(end)
            first, in_segment = end, 0
    return [*ends[:-1], len(images)]  # the last one has what is left, too


def deal(shards: list[Shard], readers: int) -> list[list[Shard]]:
    """Shares of nearly as many images each, in the order of `shards`: the largest shard is dealt
    first, each to the reader that has least."""
    dealt: list[list[int]] = [[] for _ in range(readers)]
    images = [0] * readers
    for place in sorted(range(len(shards)), key=lambda place: -shards[place].images):
        least = images.index(min(images))
        dealt[least].append(place)
        images[least] += shards[place].images
    return [[shards[place] for place in sorted(own)] for own in dealt]
