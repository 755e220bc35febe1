"""Captions as Penn Treebank words: what the pipeline makes words of, and what is scored.

Both sides read it here, since a model can only be held to words that it was given.
"""

import re

from nltk.tokenize import NLTKWordTokenizer

from tfrecords_schema.characters import separate_characters
from tfrecords_schema.typography import plain_text, without_signs

_TREEBANK = NLTKWordTokenizer()
# Most captions are words and a period at the end. There the tokenizer has nothing to find but the
# words that it takes apart, such as "cannot", and looking costs twenty times a plain split.
_PLAIN = re.compile(r"(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)([a-z0-9 ]*[a-z0-9]) ?\.?")
# The same in other scripts: no ASCII sign but a period at the end.
_PLAIN_UNICODE = re.compile(
    r"(?si)(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)([^!-/:-@\[-`{-~]*)\.?\s*"
)


def treebank_words(text: str, characters: bool = False) -> list[str]:
    """The words of a caption in lower case, without punctuation and symbols.

    Args:
      text: of the caption.
      characters: makes a word of each character of a script without spaces.
    """
    text = text.lower()
    if plain := _PLAIN.fullmatch(text):
        return plain[1].split()
    plain = None
    if not text.isascii():
        text = plain_text(text)
        if characters:
            text = separate_characters(text)
        text = without_signs(text)
        plain = _PLAIN_UNICODE.fullmatch(text)
    # Punctuation is a token without a letter or digit.
    tokens = plain[1].split() if plain else _TREEBANK.tokenize(text)
    return [token for token in tokens if any(c.isalnum() for c in token)]
