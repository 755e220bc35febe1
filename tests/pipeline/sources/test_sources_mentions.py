"""Mentions: a caption becomes one mention or one reject; entries of JSON files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.mentions import (
    Mention,
    Source,
    field,
    is_text,
    is_utf8,
    malformed_entry,
    with_caption,
)

DOG = Mention("a.jpg", split="train", caption_id="a.jpg#3", order=3, image_id="a", problem="lost")


def said(text, mention=DOG):
    [output] = with_caption(mention, text, "captions.txt", "name.jpg,caption")
    return output


def test_a_mention_says_nothing_but_what_it_is_given():
    assert Mention("a.jpg") == ("a.jpg", "", "", "", "", 0, "", False, False, "", "", "", "")


@pytest.mark.parametrize("splits_by, has_splits", [("", False), ("column 'split'", True)])
def test_a_source_has_splits_where_it_says_what_they_are_by(splits_by, has_splits):
    assert Source([], iter, "captions.txt", "images", splits_by).has_splits == has_splits
    assert not Source([], iter, "captions.txt", "images").has_splits


@pytest.mark.parametrize("text", ["A dog .", "  A\t dog\u3000.\r\n", "\x1cA dog ."])
def test_a_caption_is_kept_with_its_whitespace_collapsed(text):
    assert said(text) == DOG._replace(text="A dog .")


@pytest.mark.parametrize(
    "mention, text, message",
    [
        (DOG, "", "empty caption"),
        (DOG, " \t\u3000\n", "empty caption"),
        (DOG, "caf\udce9", "not valid UTF-8: caf\\xe9"),
        (DOG._replace(key="\udce9.jpg"), "A dog", "not valid UTF-8: A dog"),
        (DOG._replace(key=""), "A dog", "no image name: expected name.jpg,caption"),
        (DOG._replace(key=""), "", "no image name: expected name.jpg,caption"),
    ],
)
def test_a_caption_that_cannot_be_used_is_a_reject_with_the_reason(mention, text, message):
    expected = Reject("a.jpg#3", "captions.txt", UNASSIGNED, CAPTION, "ValueError", message)
    assert said(text, mention) == expected


def test_the_id_of_a_reject_can_be_written():
    assert said("", DOG._replace(caption_id="caf\udce9#1")).id == "caf\\xe9#1"


# As read from a file: surrogates that stand for one byte each, no others.
FILE_TEXT = st.binary(max_size=8).map(lambda content: content.decode("utf-8", "surrogateescape"))


@given(FILE_TEXT, FILE_TEXT, FILE_TEXT)
def test_every_caption_is_a_mention_or_a_reject_that_can_be_written(key, caption_id, text):
    output = said(text, Mention(key, caption_id=caption_id))
    is_usable = bool(key and text.strip() and is_utf8(text) and is_utf8(key))
    assert isinstance(output, Mention) == is_usable
    if isinstance(output, Reject):
        "".join(output).encode("utf-8")
    else:
        assert output.text.split() == text.split()


@pytest.mark.parametrize("text", ["", "A dog", "犬", "😀", "\x00"])
def test_text_is_utf8(text):
    assert is_utf8(text)


@pytest.mark.parametrize("text", ["\udce9", "a\ud800", "\ud83d"])
def test_lone_surrogates_are_not_utf8(text):
    assert not is_utf8(text)
    assert not is_text(text)


@pytest.mark.parametrize("value", ["", None, 3, True, b"a.jpg", ["a.jpg"], {}])
def test_a_value_that_names_nothing_is_no_text(value):
    assert not is_text(value)
    assert is_text("a.jpg")


@pytest.mark.parametrize("entry", [None, 3, "id", ["id"], {}, {"ID": 4}])
def test_an_entry_without_a_field_has_none_there(entry):
    assert field(entry, "id") is None


def test_a_field_is_what_the_entry_has():
    assert field({"id": 4}, "id") == 4


@pytest.mark.parametrize("entry", [None, 3, "犬", {"id": "\ud800"}, ["x" * 10_000]])
def test_a_malformed_entry_is_a_reject_that_shows_it_in_short(entry):
    row = malformed_entry("file.json:images[3]", "file.json", "a number `id`", entry)
    assert row[:5] == ("file.json:images[3]", "file.json", UNASSIGNED, CAPTION, "ValueError")
    assert row.message.startswith(f"expected a number `id`, found {repr(entry)[:100]}")
    assert len(row.message) < 300
    row.message.encode("utf-8")
