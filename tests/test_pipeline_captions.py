"""Caption text to words, by each of the presets."""

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from pipeline import captions
from pipeline.captions import CLEAN, has_words, tokenize
from tfrecords_schema.vocabulary import Vocabulary

PRESETS = st.sampled_from(CLEAN)
# Plain text has too few of the characters that the presets treat in a way of their own.
PIECES = [
    "A", "man's", "dog,", "can't", "...", "no.", "1,000", "(", "U.S.", '"red"', "2nd", ".", "red",
    "Cannot", "d'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna", "'Tis", "'twas",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.text("aB1éΣ犬 .,!?'\"`-_&()[]$%\t\n\xa0\x1c"),
    st.lists(st.sampled_from(PIECES)).map(" ".join),
)


def tutorial_words(text):
    """What the tutorials do, step by step as they write it."""
    words = text.split()
    words = [word.lower() for word in words]
    words = ["".join(c for c in word if c not in string.punctuation) for word in words]
    words = [word for word in words if len(word) > 1]
    return [word for word in words if word.isalpha()]


def treebank_words(text):
    """Every token of the tokenizer that is more than punctuation."""
    tokens = NLTKWordTokenizer().tokenize(text.lower())
    return [token for token in tokens if any(c.isalnum() for c in token)]


@pytest.mark.parametrize("clean", CLEAN)
def test_the_example_of_the_documentation_is_true(clean):
    [text] = re.findall(r'^For "(.*)" they give$', captions.__doc__, re.MULTILINE)
    [words] = re.findall(rf"^    {clean} +(.*)$", captions.__doc__, re.MULTILINE)
    assert tokenize(text, clean) == words.split()


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
def test_coco_words_are_lower_case_treebank_tokens_without_punctuation(text, words):
    assert tokenize(text, "coco") == words.split()


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", "mans dog running"),
        ("A black-and-white dog doesn't bark", "blackandwhite dog doesnt bark"),
        ("3 people, 2nd street; I see U.S. flags", "people street see us flags"),
        ("Café ÉTÉ x 犬", "café été"),
    ],
)
def test_tutorial_words_are_letters_alone_and_more_than_one(text, words):
    assert tokenize(text, "tutorial") == words.split()


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", ["A", "man's", "dog,", "running", "."]),
        (" tab\tand\nline\xa0", ["tab", "and", "line"]),
        ("...", ["..."]),
    ],
)
def test_none_splits_at_whitespace_and_keeps_everything(text, words):
    assert tokenize(text, "none") == words


@pytest.mark.parametrize("clean", ["coco", "tutorial"])
@pytest.mark.parametrize("text", ["", "   ", ".", " . , ! ? ", "-- ``''", "…"])
def test_text_without_letters_or_digits_has_no_words(text, clean):
    assert tokenize(text, clean) == []


@settings(max_examples=300)
@given(TEXTS)
@example("AΣ Ö AΣ, Σ.")  # a small sigma depends on what stands around it
@example("a\x1cb")
def test_tutorial_does_what_the_tutorials_do(text):
    assert tokenize(text, "tutorial") == tutorial_words(text)


@settings(max_examples=1000)
@given(TEXTS)
def test_coco_words_are_those_of_the_tokenizer(text):
    assert tokenize(text, "coco") == treebank_words(text)


@settings(max_examples=300)
@given(TEXTS, PRESETS)
def test_text_has_words_where_tokenize_finds_some(text, clean):
    assert has_words(text, clean) == bool(tokenize(text, clean))


@given(TEXTS, PRESETS)
@example("a\x1cb", "none")
def test_the_words_of_any_text_can_stand_in_a_vocabulary(text, clean):
    words = tokenize(text, clean)
    vocabulary = Vocabulary.from_counts(dict.fromkeys(words, 1))
    assert vocabulary.words(vocabulary.ids(words)) == words


@given(TEXTS, PRESETS)
@example("a\x1cb", "tutorial")
def test_collapsing_whitespace_changes_no_word(text, clean):
    assert tokenize(" ".join(text.split()), clean) == tokenize(text, clean)


@given(TEXTS)
def test_every_coco_word_has_a_letter_or_digit_and_none_is_lost(text):
    words = tokenize(text, "coco")
    assert all(any(c.isalnum() for c in word) for word in words)
    kept = [c for word in words for c in word if c.isalnum()]
    assert kept == [c for c in text.lower() if c.isalnum()]


@given(TEXTS)
def test_without_cleaning_every_character_is_kept(text):
    assert "".join(tokenize(text, "none")) == "".join(text.split())
