# ruff: noqa: RUF001  signs that look alike are what these tests are about
import string
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrecords_schema.typography import PUNCTUATION, count_symbols, plain_text, without_signs

EVERY = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]


@pytest.mark.parametrize(
    "text, plain",
    [
        ("man\u2019s \u201cdog\u201d", 'man\'s "dog"'),
        ("a\u2014b \u2013 c\u2026", "a--b -- c..."),
        ("black\u2010white \u22125", "black-white -5"),
        ("（ａ１）！＝？", "(ａ１)!=?"),
        ("狗。猫、鸟", "狗 猫 鸟"),
        ("cafe\u0301 \u212bngstro\u0308m", "café \xc5ngström"),
        ("e\xad\u0301 ab\ufeff", "\xe9 ab"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_signs_become_those_of_a_typewriter(text, plain):
    assert plain_text(text) == plain


@given(st.text())
def test_plain_text_is_nfc_and_stays_as_it_is(text):
    plain = plain_text(text)
    assert unicodedata.is_normalized("NFC", plain)
    assert plain_text(plain) == plain


@given(st.text(st.characters(codec="ascii")))
def test_ascii_text_stays_as_it_is(text):
    assert plain_text(text) == without_signs(text) == text
    assert count_symbols(text) == 0


def test_every_sign_of_punctuation_is_known():
    expected = {c for c in EVERY if unicodedata.category(c)[0] == "P"} - set(string.punctuation)
    assert set(PUNCTUATION) == expected
    assert len(PUNCTUATION) == len(expected)


def test_signs_alone_leave_nothing_and_letters_marks_and_digits_stay():
    for c in EVERY[128:]:
        category = unicodedata.category(c)
        if category[0] in "PS":
            assert without_signs(c).isspace(), hex(ord(c))
            assert count_symbols(c) == (category[0] == "S"), hex(ord(c))
        elif c.isalnum() or category[0] == "M":
            assert without_signs(c) == c, hex(ord(c))
            assert count_symbols(c) == 0, hex(ord(c))


@pytest.mark.parametrize(
    "text, words",
    [
        ("col·lecció ·dog· a··b", "col·lecció dog a b"),
        ("¿dog?", "dog?"),
        ("dog·!", "dog !"),
        ("a《b》c", "a b c"),
        ("dog🐶cat", "dog cat"),
        ("कि·कि", "कि·कि"),
    ],
)
def test_a_sign_stays_only_within_a_word(text, words):
    assert without_signs(text).split() == words.split()


@pytest.mark.parametrize(
    "text, count",
    [
        ("🐶🐶 ❤️ dog", 2),
        ("👩\u200d🚒", 1),
        ("👍🏽", 1),
        ("\U0001fae9", 1),
        ("\ue000 °", 2),
        ("$ + 。", 0),
    ],
)
def test_neighbouring_symbols_count_as_one(text, count):
    assert count_symbols(text) == count
