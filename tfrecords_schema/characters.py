"""Splits text of scripts without spaces between words into characters, and joins them again.

The pipeline's preset `characters` makes each character of such a script a word: "一只 dog" is 一,
只, dog. A character is a letter with its combining marks, and in Khmer and Myanmar with the letters
stacked below it, so that no part of a letter is a word. Hangul is no such script, since Korean has
spaces. Digits of these scripts form numbers, as in other scripts.
"""

import re
from collections.abc import Mapping
from typing import Any

from tfrecords_schema.typography import MARKS

CHARACTERS = "characters"  # the preset's name, in flags and manifests

# Letters only, without marks, digits and punctuation; some code points are still unassigned.
_LETTERS = "".join(
    [
        "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c",  # signs of Han and kana, such as 々
        "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",  # kana
        "\U00016fe3\U00016ff2-\U00016ff6\U0001aff0-\U0001affe\U0001b000-\U0001b168",
        "\u3105-\u312f\u31a0-\u31bf",  # Bopomofo
        "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufad9\U00020000-\U0003fffd",  # Han
        "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46",  # Thai
        "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd\u0ec0-\u0ec6\u0edc-\u0edf",  # Lao
        "\u1780-\u17b3\u17d7\u17dc",  # Khmer
        "\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081",
        "\u108e\ua9e0-\ua9e4\ua9e6-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a\uaa7e\uaa7f",  # Myanmar
    ]
)
_LETTER = f"[{_LETTERS}]"
# Thai and Lao am and the voicing signs of half-width kana are letters that attach to another.
_HANGING = f"[{MARKS}\u0e33\u0eb3\uff9e\uff9f]"
_STACKING = "[\u17d2\u1039]"  # puts the next letter below this one, in Khmer and Myanmar
_CHARACTER = f"{_LETTER}(?:{_STACKING}{_LETTER}|{_HANGING})*"

CHARACTER = re.compile(_CHARACTER)
# A tokenizer would take the comma of "只,3" as a part of the number.
_AND_COMMA = re.compile(f"({_CHARACTER})[,:]*")
_GAP = re.compile(f"({_CHARACTER}) (?={_LETTER})")
# For RE2, which has no lookahead: a match consumes the second character, so one pass closes only
# every second of neighbouring gaps. Two replacements by GAP_CLOSED close all.
RE2_GAP = f"({_CHARACTER}) ({_LETTER})"
GAP_CLOSED = r"\1\2"


def of_characters(config: Mapping[str, Any]) -> bool:
    """Whether the words of a dataset are characters, by its pipeline configuration."""
    return config.get("clean") == CHARACTERS


def separate_characters(text: str) -> str:
    """Puts spaces around each character of a script without spaces.

    A comma or colon right after such a character is dropped.
    """
    return text if text.isascii() else _AND_COMMA.sub(r" \1 ", text)


def join_characters(text: str) -> str:
    """Joins words separated by spaces into text: "一 只 dog 在 跑" becomes "一只 dog 在跑"."""
    return text if text.isascii() else _GAP.sub(r"\1", text)
