import itertools

from hypothesis import given
from hypothesis import strategies as st

from tfrecords_schema.manifest import Shard
from trainer.data.epoch_plan import (
    MOST_PADDING,
    SEGMENT_BATCHES,
    SEGMENT_IMAGES,
    SEGMENT_SHARDS,
    deal,
    plan_epoch,
    segment_ends,
)


class TrainSplit:
    """As much of a manifest as a plan needs."""

    def __init__(self, images):
        self.splits = {"train": [Shard(f"{i}", n, 0, 0, "") for i, n in enumerate(images)]}

    def images(self, split):
        return sum(shard.images for shard in self.splits[split])


@given(
    images=st.lists(st.integers(0, 3000), min_size=1, max_size=200).filter(any),
    batch_size=st.integers(1, 300),
    readers=st.integers(1, 12),
    epoch=st.integers(0, 5),
)
def test_every_shard_is_read_once_in_batches_that_are_nearly_full(
    images, batch_size, readers, epoch
):
    split = TrainSplit(images)
    plan = plan_epoch(split, batch_size, readers, seed=1, epoch=epoch)
    assert plan == plan_epoch(split, batch_size, readers, seed=1, epoch=epoch)
    assert 1 <= plan.readers <= readers and batch_size % plan.readers == 0
    read = [shard for segment in plan.segments for own in segment.shards_by_reader for shard in own]
    assert sorted(read, key=str) == sorted((s for s in split.splits["train"] if s.images), key=str)
    for segment in plan.segments:
        assert len(segment.shards_by_reader) == plan.readers
        for own in segment.shards_by_reader:
            assert sum(s.images for s in own) <= segment.batches * plan.images_of_reader
    fewest = -(-sum(images) // batch_size)
    assert plan.batches >= fewest
    if plan.readers > 1:
        assert plan.batches * (1 - MOST_PADDING) <= fewest
    elif len(plan.segments) == 1:
        assert plan.batches == fewest


def test_there_are_as_many_readers_as_asked_for_where_shards_can_be_shared_out():
    for shards, readers, found in ((64, 8, 8), (12, 8, 4), (5, 8, 1), (1, 8, 1), (0, 8, 8)):
        images = [500] * shards or [500 + i % 40 for i in range(100)]
        assert plan_epoch(TrainSplit(images), 32, readers, 0, 0).readers == found


@given(st.lists(st.integers(1, 1000), min_size=1), st.integers(1, 10))
def test_shares_differ_by_no_more_than_the_largest_shard(images, readers):
    shards = TrainSplit(images).splits["train"]
    shares = deal(shards, readers)
    assert sorted(itertools.chain(*shares), key=str) == sorted(shards, key=str)
    counts = [sum(shard.images for shard in share) for share in shares]
    assert max(counts) - min(counts) <= max(images)
    for share in shares:  # in the order that was drawn
        assert [shards.index(shard) for shard in share] == sorted(map(shards.index, share))


@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=200),
    st.integers(1, 2000),
    st.integers(1, 3),
)
def test_a_segment_is_large_enough_for_shuffling_and_full_batches(images, batch_size, readers):
    def is_enough(images):
        return len(images) >= SEGMENT_SHARDS * readers and sum(images) >= max(
            SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size
        )

    ends = segment_ends(images, batch_size, readers)
    assert ends[-1] == len(images)
    for first, end in zip([0, *ends], ends, strict=False):
        assert is_enough(images[first:end]) or len(ends) == 1
    for first, end in zip([0, *ends], ends[:-1], strict=False):
        assert not is_enough(images[first : end - 1])
