# ruff: noqa: RUF001, RUF002  this module is about signs that look alike
"""Maps Unicode punctuation to ASCII, and strips punctuation from words.

Both the pipeline, which tokenizes captions, and the trainer, which scores them, use these rules.
Quotes, dashes and dots become what Stanford's PTB tokenizer makes of them. Signs that it ignores,
such as the accent in "man´s", become the ASCII sign that is meant.
"""

import re
import unicodedata
from collections.abc import Iterable

_ASCII = {
    "'": "‘’‚‛‹›´\u1ffdʼ′\x91\x92",  # the last two are quotes of Windows-1252, read as Latin-1
    '"': "“”„‟«»″\x93\x94",
    "--": "–—―‒⸺⸻\x96\x97",
    "-": "‐‑−",
    "..": "‥",
    "...": "…⋯",
    # Ends of sentences and clauses. Many scripts write no space after them. Tibetan and Ethiopic
    # have signs instead of spaces between words.
    " ": "\u200b。、｡､।॥؟،؛۔၊။។៕་།༎፡።፣፤",
    # Invisible: soft hyphen, byte order mark, direction of writing.
    "": "\u00ad\ufeff\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2066\u2067\u2068\u2069",
}
_FULLWIDTH = {c: chr(c - 0xFEE0) for c in range(0xFF01, 0xFF5F) if not chr(c).isalnum()}
_TYPEWRITER = _FULLWIDTH | {ord(c): plain for plain, signs in _ASCII.items() for c in signs}


def _by_category() -> dict[str, list[int]]:
    """Maps each Unicode category to its code points from 128 on, ascending.

    From 0x20000 on only Han letters, and marks that select a variant of a letter, are assigned.
    """
    found: dict[str, list[int]] = {}
    for code in (*range(128, 0x20000), *range(0xE0100, 0xE01F0)):
        found.setdefault(unicodedata.category(chr(code)), []).append(code)
    return found


def _ranges(codes: Iterable[int]) -> str:
    """The code points as the inside of a character class, for both `re` and RE2."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _codes(*categories: str) -> list[int]:
    return [code for category in categories for code in _CODES.get(category, [])]


_CODES = _by_category()
PUNCTUATION = "".join(map(chr, _codes("Ps", "Pe", "Pi", "Pf", "Po", "Pd", "Pc")))
# Insides of character classes. Marks include the two joiners, which occur within words of Persian
# and of Indian scripts. Symbols include private-use signs, and emoji newer than Python's tables.
MARKS = _ranges([*_codes("Mn", "Mc", "Me"), 0x200C, 0x200D])
_NEW_EMOJI = [code for code in _codes("Cn") if 0x1F000 <= code < 0x1FB00]
_SYMBOLS = _ranges([*_codes("So", "Sc", "Sm", "Sk", "Co"), *_NEW_EMOJI])
_BRACKETS = _ranges(_codes("Ps", "Pe", "Pi", "Pf"))
_SIGNS = _ranges(_codes("Po", "Pd", "Pc"))
_CODES.clear()  # 5 MB
_IN_WORD = rf"[^\s!-/:-@\[-`{{-~{_SYMBOLS}{_BRACKETS}{_SIGNS}]"
_APART = re.compile(
    rf"[{_SYMBOLS}{_BRACKETS}]+|(?<!{_IN_WORD})[{_SIGNS}]+|[{_SIGNS}]+(?!{_IN_WORD})"
)
_ONE_SYMBOL = re.compile(rf"[{_SYMBOLS}][{_SYMBOLS}{MARKS}]*")


def plain_text(text: str) -> str:
    """`text` in NFC with ASCII quotes, dashes, dots and full-width signs."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_TYPEWRITER))


def without_signs(text: str) -> str:
    """Replaces Unicode symbols, brackets, and punctuation at the ends of words by a space.

    ASCII signs stay for the tokenizer; so does a sign within a word, as in "col·lecció".
    """
    return text if text.isascii() else _APART.sub(" ", text)


def count_symbols(text: str) -> int:
    """The number of Unicode symbols in `text`; neighbours, such as three emoji, count as one."""
    return 0 if text.isascii() else len(_ONE_SYMBOL.findall(text))
