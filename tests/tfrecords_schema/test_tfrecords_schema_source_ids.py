"""Image ids as the source has them: the number at the end of a text, and when it is trusted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrecords_schema.source_ids import ids_in_source, number_of


@pytest.mark.parametrize(
    "image_id, number",
    [
        ("391895", 391895), ("0", 0), ("-5", -5), ("val2014/391895", 391895), ("val/-5", -5),
        ("COCO_val2014_000000391895.jpg", 391895), ("val2014/COCO_val2014_000000000009.jpg", 9),
        ("dog-5", 5), ("007", 7), (str(10**40 - 1), 10**40 - 1),
        (str(10**40), None), ("", None), ("dog.jpg", None), ("5a", None), ("5.tar.gz", None),
        ("5\n", None), ("٣", None), ("5/dog", None), ("693b08cb0e.jpg", None),
    ],
)  # fmt: skip
def test_the_number_of_an_image_is_the_one_that_its_id_ends_in(image_id, number):
    assert number_of(image_id) == number


@given(st.integers(-(2**63), 2**64 - 1), st.text(max_size=5))
def test_every_integer_is_read_back_alone_and_in_a_folder(number, folder):
    assert number_of(str(number)) == number_of(f"{folder}/{number}") == number


def test_ids_are_texts_where_the_manifest_does_not_say_that_they_are_integers():
    ids = ["5", "val2014/6", "dog"]
    assert ids_in_source(ids, False) == {text: text for text in ids}


def test_integers_keep_their_type_beside_texts():
    assert ids_in_source(["5", "dog", "0"], True) == {"5": 5, "dog": "dog", "0": 0}
    assert ids_in_source(["val/5", "val/6"], True) == {"val/5": 5, "val/6": 6}
    assert ids_in_source([], True) == {}


@pytest.mark.parametrize("ids", [["train/5", "val/6"], ["a_5.jpg", "b_5.jpg"], ["5", "val/6"]])
def test_ids_are_texts_where_one_number_may_be_that_of_two_images(ids):
    assert ids_in_source(ids, True) == {text: text for text in ids}


@given(st.sets(st.integers(-(2**63), 2**63) | st.text("ab/", max_size=4), max_size=9))
def test_a_results_file_has_each_id_of_the_source_once(ids):
    texts = {str(id) for id in ids}
    found = ids_in_source(texts, True).values()
    assert {json.dumps(id) for id in found} == {json.dumps(id) for id in ids}
