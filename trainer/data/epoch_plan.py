"""The plan of an epoch: which reader reads which shards, and in how many batches.

Shards, in a random order from (seed, epoch), are grouped into segments. No batch spans two
segments, so a run resumed in the middle of an epoch skips at most a segment of records to find its
place. The shards of a segment are dealt to the readers, each of which has an equal part of every
batch. The plan depends on the manifest alone: no reader needs to know another's records.
"""

from typing import NamedTuple

import numpy as np

from tfrecords_schema.manifest import Manifest, Shard

SEGMENT_SHARDS, SEGMENT_IMAGES, SEGMENT_BATCHES = 16, 16_384, 512  # minima; shards are per reader
MOST_PADDING = 0.1  # largest share of the batches that uneven shards may leave empty


class Segment(NamedTuple):
    """Shards whose batches hold no records of other shards."""

    shards_by_reader: list[list[Shard]]
    batches: int


class EpochPlan(NamedTuple):
    """The plan of one epoch of the training split."""

    batch_size: int  # images in a global batch
    readers: int
    segments: list[Segment]
    seed: int  # of the random order within the segments

    @property
    def batches(self) -> int:
        """The number of batches of the epoch."""
        return sum(segment.batches for segment in self.segments)

    @property
    def images_of_reader(self) -> int:
        """The number of images of a batch that come from each reader."""
        return self.batch_size // self.readers


def plan_epoch(
    manifest: Manifest, batch_size: int, readers: int, seed: int, epoch: int
) -> EpochPlan:
    """Makes the plan of an epoch.

    Args:
      manifest: the manifest of the dataset.
      batch_size: images in a global batch.
      readers: the largest number of readers. There are fewer if they could not have equal parts of
        a batch, or if more than MOST_PADDING of the batches would be empty for lack of shards.
      seed: the seed of the run.
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
    """The ends of the segments among shards with these numbers of images."""
    enough = max(SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size)
    ends, first, in_segment = [], 0, 0
    for end, count in enumerate(images, 1):
        in_segment += count
        if end - first >= SEGMENT_SHARDS * readers and in_segment >= enough:
            ends.append(end)
            first, in_segment = end, 0
    return [*ends[:-1], len(images)]  # the last segment has the remaining shards too


def deal(shards: list[Shard], readers: int) -> list[list[Shard]]:
    """Deals shards to readers with nearly equal numbers of images. The largest shard is dealt
    first, each to the reader with the fewest images; a share keeps the order of `shards`."""
    dealt: list[list[int]] = [[] for _ in range(readers)]
    images = [0] * readers
    for place in sorted(range(len(shards)), key=lambda place: -shards[place].images):
        least = images.index(min(images))
        dealt[least].append(place)
        images[least] += shards[place].images
    return [[shards[place] for place in sorted(own)] for own in dealt]
