"""Tokenizes captions for scoring.

Published scores are of text tokenized by Stanford's PTB tokenizer; another tokenizer changes them.
It needs Java. Without Java it is replaced by nltk's Treebank tokenizer, which differs on few
captions.

PTB's punctuation is English. In captions of another script it would leave `।`, `؟`, `&` or a
parenthesis as words, which no model can write, since the pipeline drops punctuation. It also drops
the vowels of Khmer. There are no published scores for such captions, so both sides get the words of
the pipeline's preset `coco`, or of `characters`, whose words are single characters in scripts
without spaces.
"""

import collections
import os
import subprocess
import unicodedata
from typing import Literal

from nltk.tokenize import TreebankWordTokenizer
from pycocoevalcap.tokenizer import ptbtokenizer

from tfrecords_schema.treebank_words import treebank_words
from tfrecords_schema.typography import plain_text

Tokenizer = Literal["ptb", "treebank"]

# METEOR's jar writes numbers in the user's locale and breaks on a decimal comma.
ENGLISH_JAVA = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")

# Punctuation of other languages in Latin script that PTB leaves in. No English caption has it, so
# published scores stay the same.
_NOT_IN_ENGLISH = dict.fromkeys(map(ord, "¿¡„"), " ")


def java_available() -> bool:
    """Whether `java` on PATH runs; the stub that macOS puts there only asks to be installed."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True).returncode == 0
    except OSError:
        return False


def mostly_latin(texts: list[str]) -> bool:
    """Whether at least half of the letters are Latin, as in English; true without letters."""
    letters, latin = 0, 0
    for character, count in collections.Counter("".join(texts)).items():
        if character.isalpha():
            letters += count
            latin += count * unicodedata.name(character, "").startswith("LATIN")
    return 2 * latin >= letters


def tokenize_published(texts: list[str], tokenizer: Tokenizer) -> list[str]:
    """Lower-cased tokens separated by spaces, one string for each text, as papers score them.

    Punctuation is dropped, except `&`, `%`, parentheses and other signs that papers leave in.

    Args:
      texts: captions.
      tokenizer: "ptb" (needs Java) or "treebank".

    Raises:
      RuntimeError: the tokenizer failed; the message holds its output.
    """
    # PTB reads a text a line. \v or U+2028 inside one would shift all later captions to other
    # images; split() splits at each of these. Lone surrogates (JSON has them) cannot be encoded.
    texts = [" ".join(text.encode(errors="replace").decode().split()) for text in texts]
    # A model's words are in NFC, as in the pipeline's vocabulary; references may not be.
    texts = [unicodedata.normalize("NFC", text.translate(_NOT_IN_ENGLISH)) for text in texts]
    if tokenizer == "ptb":
        lines = _run_ptb(texts)
    else:  # PTB too writes -LRB- for a parenthesis before it lower-cases, and knows all quotes
        tokenize = TreebankWordTokenizer().tokenize
        lines = [
            " ".join(tokenize(plain_text(text), convert_parentheses=True)).lower()
            for text in texts
        ]  # fmt: skip
    dropped = frozenset(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(word for word in line.split(" ") if word not in dropped) for line in lines]


def tokenize_as_written(texts: list[str], characters: bool) -> list[str]:
    """The pipeline's words, separated by spaces, one string for each text.

    Args:
      texts: captions.
      characters: whether each character of a script without spaces is a word.
    """
    return [" ".join(treebank_words(text, characters)) for text in texts]


def _run_ptb(texts: list[str]) -> list[str]:
    """Runs the library's tokenizer jar with the library's options; punctuation stays in.

    The library's own wrapper writes a temporary file into its package directory, which may be
    read-only. It also shows the jar's messages to the user, and does not count the output lines.
    """
    folder = os.path.dirname(ptbtokenizer.__file__)
    jar = os.path.join(folder, ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = ["java", *ENGLISH_JAVA, "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-preserveLines", "-lowerCase"]
    done = subprocess.run(command, input="\n".join(texts).encode(), capture_output=True)
    lines = done.stdout.decode().split("\n")
    if done.returncode or len(lines) != len(texts):
        raise RuntimeError(
            f"the PTB tokenizer gave {len(lines)} lines for {len(texts)} captions, exit status "
            f"{done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        )
    return lines
