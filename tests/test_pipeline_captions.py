"""Caption text to words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captions import clean, tokenize
from tfrecords_schema.vocabulary import Vocabulary


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", "a man 's dog running"),
        ("Two dogs run.", "two dogs run"),
        ("A black-and-white dog doesn't bark", "a black-and-white dog does n't bark"),
        ('A "stop" sign (red) -- & more!', "a stop sign red more"),
        ("The U.S. flag; 3 people, 1,000 birds", "the u.s. flag 3 people 1,000 birds"),
        ("Café ÉTÉ 犬", "café été 犬"),
        ("tab\tand\nline", "tab and line"),
    ],
)
def test_words_are_lower_case_treebank_tokens_without_punctuation(text, words):
    assert tokenize(text) == words.split()


@pytest.mark.parametrize("text", ["", "   ", ".", " . , ! ? ", "-- ``''", "…"])
def test_text_without_letters_or_digits_has_no_words(text):
    assert tokenize(text) == []


@given(st.text())
def test_the_words_of_any_text_can_stand_in_a_vocabulary(text):
    words = tokenize(text)
    vocabulary = Vocabulary.from_counts(dict.fromkeys(words, 1))
    assert vocabulary.words(vocabulary.ids(words)) == words
    assert all(any(c.isalnum() for c in word) for word in words)


@given(st.text())
def test_cleaning_changes_no_word(text):
    assert tokenize(clean(text)) == tokenize(text)


@given(st.text())
def test_clean_text_has_single_spaces_only(text):
    cleaned = clean(text)
    assert cleaned.split(" ") == (text.split() or [""])
    assert clean(cleaned) == cleaned
