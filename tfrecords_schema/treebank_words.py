"""Tokenizes captions into Penn Treebank words, for the pipeline and for scoring.

Both use this one tokenizer, since a model can only write the words it was trained on.
"""

import re

from nltk.tokenize import NLTKWordTokenizer

from tfrecords_schema.characters import separate_characters
from tfrecords_schema.typography import plain_text, without_signs

_TREEBANK = NLTKWordTokenizer()
# Most captions are words and a final period. In those the tokenizer only splits contractions such
# as "cannot", and takes twenty times as long as a plain split.
_PLAIN = re.compile(r"(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)([a-z0-9 ]*[a-z0-9]) ?\.?")
# The same for other scripts: no ASCII sign but a final period.
_PLAIN_UNICODE = re.compile(
    r"(?si)(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)([^!-/:-@\[-`{-~]*)\.?\s*"
)


def treebank_words(text: str, characters: bool = False) -> list[str]:
    """The words of a caption in lower case, without punctuation and symbols.

    Args:
      text: the caption.
      characters: whether each character of a script without spaces is a word.
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
    # A token without a letter or digit is punctuation.
    tokens = plain[1].split() if plain else _TREEBANK.tokenize(text)
    return [token for token in tokens if any(c.isalnum() for c in token)]
