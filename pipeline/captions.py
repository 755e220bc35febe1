"""Caption text to words, by one of three presets.

For "A man's dog, no. 1, running !" they give

    none       A  man's  dog,  no.  1,  running  !
    tutorial   mans  dog  no  running
    coco       a  man  's  dog  no.  1  running

`none` splits at whitespace and keeps everything. `tutorial` is what the widely copied Flickr8k
tutorials do: lower case, punctuation stripped from each word, then words of one letter and words
that are not all letters dropped; they publish 8,763 such words for all of its text. `coco` has the
words that COCO's caption evaluation counts (Chen et al. 2015, section 3): Penn Treebank tokens, by
nltk's tokenizer, in lower case and without punctuation. No preset needs data files.
"""

import re
import string

from nltk.tokenize import NLTKWordTokenizer

CLEAN = ("none", "tutorial", "coco")

_TREEBANK = NLTKWordTokenizer()
# Most captions are words and a period at the end. There the tokenizer has nothing to find but the
# words that it takes apart, such as "cannot", and looking costs twenty times a plain split.
_PLAIN = re.compile(r"(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)([a-z0-9 ]*[a-z0-9]) ?\.?")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokenize(text: str, clean: str) -> list[str]:
    """The words of a caption.

    Args:
      text: of the caption.
      clean: one of CLEAN.
    """
    if clean == "none":
        return text.split()
    if clean == "tutorial":
        words = (word.translate(_NO_PUNCTUATION) for word in text.lower().split())
        return [word for word in words if len(word) > 1 and word.isalpha()]
    text = text.lower()
    if plain := _PLAIN.fullmatch(text):
        return plain[1].split()
    # Punctuation is a token without a letter or digit.
    tokens = _TREEBANK.tokenize(text)
    return [token for token in tokens if any(c.isalnum() for c in token)]


def has_words(text: str, clean: str) -> bool:
    """Whether `tokenize` finds a word."""
    if clean == "coco":  # the tokenizer takes no letter or digit away: this is quicker
        return any(c.isalnum() for c in text.lower())
    return bool(tokenize(text, clean))
