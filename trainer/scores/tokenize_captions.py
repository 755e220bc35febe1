"""Captions as the words that are scored.

Published scores are of text tokenized by Stanford's PTB tokenizer; another tokenizer moves them. It
needs Java. Without it nltk's Treebank tokenizer stands in, which differs on few captions.

Its punctuation is English. In captions of another script `।`, `؟`, `&` or a parenthesis would be a
word of the references that no model can write, since the pipeline takes it for punctuation; and it
drops the vowels of Khmer. There are no published figures to compare with, so there both sides have
the words of the pipeline's preset `coco`, or of `characters`, where each character of a script
without spaces between words is one.
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
# published figures stay what they are.
_NOT_IN_ENGLISH = dict.fromkeys(map(ord, "¿¡„"), " ")


def java_available() -> bool:
    """Whether `java` is on PATH and runs: the one macOS puts there only asks to be installed."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True).returncode == 0
    except OSError:
        return False


def mostly_latin(texts: list[str]) -> bool:
    """Whether at least half of the letters are Latin, as in English; also where there are none."""
    letters, latin = 0, 0
    for character, count in collections.Counter("".join(texts)).items():
        if character.isalpha():
            letters += count
            latin += count * unicodedata.name(character, "").startswith("LATIN")
    return 2 * latin >= letters


def tokenize_published(texts: list[str], tokenizer: Tokenizer) -> list[str]:
    """Lower-cased tokens separated by spaces, one string for each text, as papers score them.

    They are without punctuation but for `&`, `%`, parentheses and what else papers have left in.

    Args:
      texts: captions.
      tokenizer: "ptb" needs Java.

    Raises:
      RuntimeError: the tokenizer failed, with what it said.
    """
    # PTB reads a text a line, and \v or U+2028 inside one would shift all later captions to other
    # images; split() splits at every such character. Lone surrogates (JSON has them) no pipe takes.
    texts = [" ".join(text.encode(errors="replace").decode().split()) for text in texts]
    # What a model writes is in NFC, as the pipeline's vocabulary; references are as people wrote.
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
    """Words separated by spaces, one string for each text, as a model of the pipeline's words has.

    Args:
      texts: captions.
      characters: makes a word of each character of a script without spaces.
    """
    return [" ".join(treebank_words(text, characters)) for text in texts]


def _run_ptb(texts: list[str]) -> list[str]:
    """Runs the library's tokenizer jar with the library's options; punctuation stays in.

    The library's own wrapper writes a temporary file into its package directory, which may be
    read-only, lets the jar chat on the user's screen and does not count the lines it gets back.
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
