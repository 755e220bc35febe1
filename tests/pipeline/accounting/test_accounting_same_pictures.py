"""Pictures of the same bytes in several splits: found, counted and listed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounting.same_pictures import (
    SHOWN,
    find_same_pictures,
    read_same_pictures,
    write_same_pictures,
)
from tfrecords_schema.shards import SPLITS


@pytest.mark.parametrize(
    "places, found",
    [
        ([("train", "a.jpg")], []),
        ([("train", "b.jpg"), ("train", "a.jpg")], []),
        ([("train", "b.jpg"), ("test", "a.jpg")], [("test", "a.jpg"), ("train", "b.jpg")]),
        ([("train", "a"), ("test", "a")], [("test", "a"), ("train", "a")]),
        (
            [("validation", "c"), ("train", "b"), ("train", "a")],
            [("train", "a"), ("train", "b"), ("validation", "c")],
        ),
    ],
)
def test_a_picture_in_several_splits_is_given_with_its_places(places, found):
    assert list(find_same_pictures(("digest", iter(places)))) == [found] * bool(found)


PLACES = st.lists(
    st.tuples(st.sampled_from(SPLITS), st.text(st.characters(codec="utf-8"), max_size=3)),
    min_size=2, max_size=4,
)  # fmt: skip


@given(st.lists(PLACES, max_size=5), st.randoms())
def test_the_list_of_same_pictures_is_read_back_whatever_the_order_of_writing(
    tmp_path_factory, found, random
):
    path = str(tmp_path_factory.getbasetemp() / "same_pictures.json")
    shuffled = random.sample(found, len(found))
    write_same_pictures(iter(shuffled), path)
    assert read_same_pictures(path) == (len(found), sorted(found))


def test_pictures_in_several_splits_are_all_counted_and_the_first_are_listed(tmp_path):
    path = str(tmp_path / "same_pictures.json")
    names = [f"{n:05d}.jpg" for n in range(3 * SHOWN)]
    write_same_pictures(([("test", n), ("train", n)] for n in reversed(names)), path)
    count, examples = read_same_pictures(path)
    assert count == 3 * SHOWN
    assert examples == [[("test", n), ("train", n)] for n in names[:SHOWN]]
