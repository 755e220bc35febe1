"""The split of an image by a hash of its id."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.splits import split_by_hash
from tfrecords_schema.shards import SPLITS

NAMES = [f"{n:05d}.jpg" for n in range(20_000)]


@pytest.mark.parametrize(
    "fractions", [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.98, 0.01, 0.01), (1 / 3, 1 / 3, 1 / 3)]
)
def test_each_split_gets_its_fraction(fractions):
    counts = collections.Counter(split_by_hash(name, fractions) for name in NAMES)
    for split, fraction in zip(SPLITS, fractions, strict=True):
        deviation = (fraction * (1 - fraction) / len(NAMES)) ** 0.5
        assert abs(counts[split] / len(NAMES) - fraction) < 4 * deviation


@pytest.mark.parametrize(
    "fractions, empty",
    [
        ((0.9, 0.1, 0.0), {"test"}),
        ((0.9, 0.0, 0.1), {"validation"}),
        ((1.0, 0.0, 0.0), {"validation", "test"}),
        ((0.0, 0.5, 0.5), {"train"}),
        ((0.7, 0.2, 0.1), set()),
    ],
)
def test_a_split_of_fraction_zero_gets_nothing(fractions, empty):
    assert {split_by_hash(name, fractions) for name in NAMES} == set(SPLITS) - empty


def test_the_split_of_an_image_never_changes():
    # A change here moves test images of old datasets into the training split of new ones.
    expected = "vvttttvttvtt"
    assert [split_by_hash(name, (0.6, 0.2, 0.2))[0] for name in NAMES[:12]] == list(expected)


def test_images_that_are_added_move_none_that_were_there():
    def assign(names):
        return {name: split_by_hash(name, (0.8, 0.1, 0.1)) for name in names}

    before = assign(NAMES[:1000])
    after = assign(["0.jpg", *reversed(NAMES), "new.jpg"])
    assert before.items() <= after.items()


def test_raising_the_fraction_of_training_takes_no_image_out_of_training():
    def train(fractions):
        return {name for name in NAMES if split_by_hash(name, fractions) == "train"}

    assert train((0.6, 0.2, 0.2)) < train((0.8, 0.1, 0.1)) < set(NAMES)


@given(st.text(st.characters()), st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any))
def test_every_image_has_a_split_that_gets_something(image_id, weights):
    fractions = [weight / sum(weights) for weight in weights]
    split = split_by_hash(image_id, fractions)
    assert fractions[SPLITS.index(split)] > 0
