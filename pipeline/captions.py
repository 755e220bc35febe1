"""Caption text to words.

The words are Penn Treebank tokens in lower case without punctuation, as COCO's caption
evaluation counts them (Chen et al. 2015, section 3), by nltk's tokenizer, which needs no data
files: "A man's dog, running ." -> ["a", "man", "'s", "dog", "running"].
"""

from nltk.tokenize import NLTKWordTokenizer

_TOKENIZER = NLTKWordTokenizer()


def clean(text: str) -> str:
    """`text` with each run of whitespace, line breaks included, made one space."""
    return " ".join(text.split())


def tokenize(text: str) -> list[str]:
    """The words of a caption; punctuation is a token without a letter or digit, and is left out."""
    tokens = _TOKENIZER.tokenize(text.lower())
    return [token for token in tokens if any(c.isalnum() for c in token)]
