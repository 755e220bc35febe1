"""Caption text to words, by one of four presets.

For "A man's dog, no. 1, running !" they give

    none         A  man's  dog,  no.  1,  running  !
    tutorial     mans  dog  no  running
    coco         a  man  's  dog  no.  1  running
    characters   a  man  's  dog  no.  1  running

`none` splits at whitespace and keeps everything. `tutorial` is what the widely copied Flickr8k
tutorials do: lower case, punctuation stripped from each word, then words of one letter and words
that are not all letters dropped; they publish 8,763 such words for all of its text. `coco` has the
words that COCO's caption evaluation counts (Chen et al. 2015, section 3): Penn Treebank tokens, by
nltk's tokenizer, in lower case and without punctuation. `characters` is `coco` but for scripts that
write no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), where each character is
a word. No preset needs data files.

Text is put into Unicode's NFC, since equal words must be equal strings. All presets but `none` read
typographic quotes and dashes as the ASCII ones, Unicode's punctuation as ASCII's, and combining
marks (as in Hindi) as letters; emoji and other symbols are no words.
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
      text: of the caption.
      clean: one of `pipeline.config.CLEAN`.
    """
    if clean == "none":
        return (text if text.isascii() else unicodedata.normalize("NFC", text)).split()
    if clean == "tutorial":
        return [word for word in _stripped(text) if _is_tutorial_word(word)]
    return treebank_words(text, clean == CHARACTERS)


def has_words(text: str, clean: str) -> bool:
    """Whether `tokenize` finds a word."""
    if clean in ("coco", CHARACTERS):  # the tokenizer takes no letter or digit away: quicker
        return any(c.isalnum() for c in plain_text(text.lower()))
    return bool(tokenize(text, clean))


def dropped_words(text: str, clean: str) -> int:
    """How many words of a caption `tokenize` leaves out; punctuation is no word.

    `tutorial` drops words of one letter and those that are not all letters, `coco` and `characters`
    symbols such as emoji, `none` nothing.
    """
    if clean == "none":
        return 0
    if clean == "tutorial":
        return sum(not _is_tutorial_word(word) for word in _stripped(text))
    return 0 if text.isascii() else count_symbols(plain_text(text))


def unwrap(text: str) -> str | None:
    """A caption without the markers that another tool put around it, as in "startseq … endseq".

    Returns:
      The bare text, maybe empty; None for a text that begins and ends with no marker.
    """
    bare = text.strip()
    lower = bare.lower()
    if not lower.startswith(_STARTS) and not lower.endswith(_ENDS):
        return None
    while any(around := _markers_around(bare.lower())):
        bare = bare[around[0] : len(bare) - around[1]].strip()
    return None if bare == text.strip() else bare


def marker_inside(text: str) -> str | None:
    """A marker that is anywhere in `text`, such as "endseq"; None where there is none.

    A caption that has one when it is unwrapped is damaged: its model would learn to write it.
    """
    if _MARKER_SIGNS.isdisjoint(text) and "seq" not in text.lower():
        return None  # which is quicker to see
    found = _MARKER.search(text)
    return found and found[0]


def _stripped(text: str) -> list[str]:
    """The words of `text` in lower case and without punctuation."""
    bare = plain_text(text.lower()).translate(_NO_PUNCTUATION)
    # A mark that stood behind a sign now stands behind a letter.
    return unicodedata.normalize("NFC", bare).split()


def _is_tutorial_word(word: str) -> bool:
    if len(word) < 2 or word.isalpha():
        return len(word) > 1
    return not word.isascii() and _MARK.sub("", word).isalpha()


def _markers_around(text: str) -> tuple[int, int]:
    """Lengths of the markers at the start and at the end of a text in lower case, 0 for none."""
    start = next((len(m) for m in _STARTS if text.startswith(m)), 0)
    if text[:start].isalpha() and text[start : start + 1].isalnum():
        start = 0  # "startseqs" is another word
    text = text[start:]
    end = next((len(m) for m in _ENDS if text.endswith(m)), 0)
    if end and text[-end:].isalpha() and text[:-end][-1:].isalnum():
        end = 0
    return start, end
