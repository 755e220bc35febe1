import re

import pytest
import regex
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from tfrecords_schema.characters import (
    CHARACTER,
    GAP_CLOSED,
    RE2_GAP,
    join_characters,
    of_characters,
    separate_characters,
)

SCRIPTS = ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar")
WORDS = st.lists(
    st.sampled_from(
        ["一", "狗", "𠮷", "が", "ー", "กิ", "ที่", "น้ำ", "ក្ខ", "ស្រី", "က္ကူ", "ນ້ຳ", "葛\U000e0100"]
        + ["dog", "'s", "3", "강아지", "में", "л", "x\u0302"]
    )
)
ONE_CHARACTER = re.compile(r"[一狗𠮷がー葛กทนកសကນ].*", re.DOTALL)


def joined(words):
    """The words, with a space at each gap that has a word of another script at a side."""
    text = ""
    for before, word in zip(["", *words], words, strict=False):
        both = ONE_CHARACTER.match(before) and ONE_CHARACTER.match(word)
        text += word if not before or both else f" {word}"
    return text


def test_the_letters_are_those_that_unicode_gives_the_scripts():
    of_scripts = "".join(rf"\p{{Script={script}}}" for script in SCRIPTS)
    # Shared by scripts: the sound lengthener of kana is a letter that both kana have.
    shared = "".join(rf"\p{{scx={script}}}" for script in ("Han", "Hiragana", "Katakana"))
    inside = regex.compile(rf"(?V1)[[{of_scripts}{shared}]&&[\p{{L}}\p{{Nl}}]]")
    for code in (*range(0xD800), *range(0xE000, 0x31400)):
        found = bool(CHARACTER.fullmatch(chr(code)))
        assigned = regex.match(r"\p{Cn}", chr(code)) is None
        assert not assigned or found == bool(inside.match(chr(code))), hex(code)


@pytest.mark.parametrize(
    "text, words",
    [
        ("一只dog在跑", "一 只 dog 在 跑"),
        ("3只狗,3只猫: 1,000", "3 只 狗 3 只 猫 1,000"),
        ("dog, cat", "dog, cat"),
        ("ខ្ញុំស្រី", "ខ្ញុំ ស្រី"),
    ],
)
def test_each_character_of_a_script_without_spaces_stands_alone(text, words):
    assert separate_characters(text).split() == words.split()


def test_characters_are_written_together_and_words_apart():
    assert join_characters("一 只 dog 在 跑") == "一只 dog 在跑"
    assert join_characters("a dog runs") == "a dog runs"
    assert join_characters("") == ""


@given(WORDS)
@example(["一"] * 7)
def test_joining_closes_gaps_between_characters_and_no_other_gaps(words):
    text = join_characters(" ".join(words))
    assert text == joined(words)
    assert separate_characters(text).split() == words


def test_tensorflow_joins_characters_as_python_does():
    @given(st.lists(WORDS, min_size=1))
    @example([["一"] * n for n in range(9)])
    def check(captions):
        texts = [" ".join(words) for words in captions]
        result = tf.constant(texts)
        for _ in range(2):
            result = tf.strings.regex_replace(result, RE2_GAP, GAP_CLOSED)
        assert [text.decode() for text in result.numpy()] == [joined(each) for each in captions]

    check()


def test_a_dataset_says_whether_its_words_are_characters():
    assert of_characters({"clean": "characters"})
    assert not of_characters({"clean": "coco"}) and not of_characters({})
