"""Captions in cells: lists as JSON, Python and NumPy write them, several columns, fields."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.caption_cells import (
    caption_ways,
    captions_in_text,
    dig,
    find_captions,
    together,
)

TEXT = st.text(
    st.sampled_from("ab'\"\\[], \n\t\x00\x7f\x9fé犬😀") | st.characters(codec="utf-8"), max_size=9
)


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXT, max_size=4), st.booleans())
def test_lists_of_texts_are_read_as_json_and_python_write_them(texts, is_ascii):
    assert captions_in_text(json.dumps(texts, ensure_ascii=is_ascii)) == texts
    assert captions_in_text(repr(texts)) == texts
    assert captions_in_text(f" {texts!r}\n".encode()) == texts
    assert captions_in_text(ascii(texts)) == texts


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=30))
def test_arrays_of_texts_are_read_as_numpy_writes_them(texts):
    assert captions_in_text(str(np.array(texts, object))) == texts  # with line breaks if long


@pytest.mark.parametrize(
    "text, texts",
    [
        ('["a", null]', ["a", None]),
        ('["a", NaN]', ["a", None]),
        ("['a', None, nan]", ["a", None, None]),
        ("['a',]", ["a"]),
        ("[ 'a' ,'b' ]", ["a", "b"]),
        ("[]", []),
        ("[\"it's\", 'b']", ["it's", "b"]),
        (r"['\q \x41 \u0041 \U00000041']", [r"\q A A A"]),
    ],
)
def test_lists_of_texts_may_have_missing_texts(text, texts):
    assert captions_in_text(text) == texts


@pytest.mark.parametrize(
    "text",
    [
        "", "A dog", "[1] a dog", "[a dog]", "[1, 2]", "['70s band]", "['a'] and ['b'", "[", "]",
        "['a''b']", "['a', b]", "['a', 1]", '["a", 1]', "[['a']]", '[["a"]]', '{"a": "b"}', '"a"',
        "['a';'b']", "[,'a']", "['a'", "['a' 'b", "[" * 9999 + "]" * 9999, None, 7, ["a"], b"x",
    ],
)  # fmt: skip
def test_text_that_is_no_list_of_texts_is_not_read_as_a_list(text):
    assert captions_in_text(text) is None


def test_the_way_to_captions_is_a_column_or_several_or_a_field():
    columns = ["caption", "s", "a.b", "a", "x,y"]
    for caption, ways in {
        "caption": [("caption",)],
        "x,y": [("x,y",)],
        "caption, s": [("caption",), ("s",)],
        "s.raw": [("s", "raw")],
        "a.b": [("a.b",)],
        "a.b.c": [("a.b", "c")],
        "a.c,s.d.e": [("a", "c"), ("s", "d", "e")],
        "none.such": [("none", "such")],
        "x": [("x",)],
    }.items():
        assert caption_ways(caption, columns) == ways, caption


def test_fields_are_found_in_structs_lists_and_texts_of_them():
    for value, found in [
        ({"raw": "A dog"}, "A dog"),
        ({"raw": ["A dog", "A cat"]}, ["A dog", "A cat"]),
        ([{"raw": "A dog"}, {"raw": "A cat"}], ["A dog", "A cat"]),
        ([{"raw": ["A dog"]}, {"raw": "A cat"}, {}, None], ["A dog", "A cat", None, None]),
        ('[{"raw": "A dog"}, {"raw": NaN}]', ["A dog", None]),
        (b"[{'raw': \"A dog's\"}]", ["A dog's"]),
        ([], []),
        (None, None), (7, None), ("A dog", None), ("[", None), ("['a'", None), ({}, None),
    ]:  # fmt: skip
        assert dig(value, ("raw",)) == found, value
    assert dig({"a": [{"b": "A dog"}]}, ("a", "b")) == ["A dog"]
    assert dig("A dog", ()) == "A dog"


def test_captions_of_several_cells_come_in_their_order_without_the_empty():
    assert together(["A dog"]) == "A dog"
    assert together(["A dog", None, " ", b"", "A cat"]) == ["A dog", "A cat"]
    assert together([["A dog", ""], '["A cat"]', b"['A cow']"]) == ["A dog", "", "A cat", "A cow"]
    assert together([None, None]) == []
    assert together([7, "A dog"]) == [7, "A dog"]


def test_captions_are_found_in_a_row():
    row = {"a": "A dog", "b": "", "s": [{"raw": "A cat"}], "a,b": "An ox"}
    for caption, found in {
        "a": "A dog",
        "a,b": "An ox",
        "b,a": ["A dog"],
        "s.raw,a": ["A cat", "A dog"],
        "s.raw": ["A cat"],
        "c": None,
        "c,d": [],
    }.items():
        assert find_captions(row, caption) == found, caption
