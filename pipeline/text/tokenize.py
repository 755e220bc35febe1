"""Splits caption text into words, by one of four presets.

For "A man's dog, no. 1, running !" they give

    none         A  man's  dog,  no.  1,  running  !
    tutorial     mans  dog  no  running
    coco         a  man  's  dog  no.  1  running
    characters   a  man  's  dog  no.  1  running

`none` splits at whitespace and keeps everything. `tutorial` follows the widely copied Flickr8k
tutorials: lower case, punctuation stripped from each word, then words of one letter and words that
are not all letters dropped; they publish 8,763 such words for all of its text. `coco` has the words
of COCO's caption evaluation (Chen et al. 2015, section 3): Penn Treebank tokens, by nltk's
tokenizer, in lower case and without punctuation. `characters` is `coco`, except that in scripts
without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each character is a
word. No preset needs data files.

Text is normalized to Unicode NFC, so that equal words are equal strings. All presets but `none`
treat typographic quotes, dashes and punctuation as ASCII, and combining marks (as in Hindi) as
letters; emoji and other symbols are no words.
"""

import re
import string
import unicodedata

from tfrecords_schema.characters import CHARACTERS
from tfrecords_schema.treebank_words import treebank_words
from tfrecords_schema.typography import (
    MARKS,
    PUNCTUATION,
    count_symbols,
    plain_text,
)

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation + PUNCTUATION)
_MARK = re.compile(f"[{MARKS}]")

_STARTS = (
    "startseq", "startofseq", "<start>", "<s>", "<bos>", "<sos>", "[cls]", "[start]", "[bos]",
    "[sos]", "<|startoftext|>",
)  # fmt: skip
_ENDS = (
    "endseq", "endofseq", "<end>", "</s>", "<eos>", "[sep]", "[end]", "[eos]", "<|endoftext|>",
    "<pad>", "[pad]",
)  # fmt: skip
_MARKER_SIGNS = frozenset("<[")
_MARKER = re.compile("|".join(map(re.escape, _STARTS + _ENDS)), re.IGNORECASE)


def tokenize(text: str, clean: str) -> list[str]:
    """The words of a caption.

    Args:
      text: the caption.
      clean: one of `pipeline.config.CLEAN`.
    """
    if clean == "none":
        return (text if text.isascii() else unicodedata.normalize("NFC", text)).split()
    if clean == "tutorial":
        return [word for word in _stripped(text) if _is_tutorial_word(word)]
    return treebank_words(text, clean == CHARACTERS)


def has_words(text: str, clean: str) -> bool:
    """Whether `tokenize` finds a word."""
    if clean in ("coco", CHARACTERS):  # a faster test: the tokenizer keeps all letters and digits
        return any(c.isalnum() for c in plain_text(text.lower()))
    return bool(tokenize(text, clean))


def dropped_words(text: str, clean: str) -> int:
    """The number of words of a caption that `tokenize` drops; punctuation is no word.

    `tutorial` drops words of one letter and words that are not all letters, `coco` and `characters`
    drop symbols such as emoji, `none` drops nothing.
    """
    if clean == "none":
        return 0
    if clean == "tutorial":
        return sum(not _is_tutorial_word(word) for word in _stripped(text))
    return 0 if text.isascii() else count_symbols(plain_text(text))


def unwrap(text: str) -> str | None:
    """Removes the markers that another tool put around a caption, as in "startseq … endseq".

    Returns:
      The bare text, maybe empty; None if the text neither begins nor ends with a marker.
    """
    bare = text.strip()
    lower = bare.lower()
    if not lower.startswith(_STARTS) and not lower.endswith(_ENDS):
        return None
    while any(around := _markers_around(bare.lower())):
        bare = bare[around[0] : len(bare) - around[1]].strip()
    return None if bare == text.strip() else bare


def marker_inside(text: str) -> str | None:
    """The first marker in `text`, such as "endseq"; None if there is none.

    A caption that still has one after `unwrap` is damaged: a model would learn to write it.
    """
    if _MARKER_SIGNS.isdisjoint(text) and "seq" not in text.lower():
        return None  # a faster test than the search
    found = _MARKER.search(text)
    return found and found[0]


def _stripped(text: str) -> list[str]:
    """The words of `text` in lower case and without punctuation."""
    bare = plain_text(text.lower()).translate(_NO_PUNCTUATION)
    # A combining mark that followed a removed sign now follows a letter.
    return unicodedata.normalize("NFC", bare).split()


def _is_tutorial_word(word: str) -> bool:
    if len(word) < 2 or word.isalpha():
        return len(word) > 1
    return not word.isascii() and _MARK.sub("", word).isalpha()


def _markers_around(text: str) -> tuple[int, int]:
    """Lengths of the markers at the start and at the end of a lower-case text, 0 for none."""
    start = next((len(m) for m in _STARTS if text.startswith(m)), 0)
    if text[:start].isalpha() and text[start : start + 1].isalnum():
        start = 0  # "startseqs" is another word
    text = text[start:]
    end = next((len(m) for m in _ENDS if text.endswith(m)), 0)
    if end and text[-end:].isalpha() and text[:-end][-1:].isalnum():
        end = 0
    return start, end
