"""How good captions are: BLEU-1 to 4, METEOR, ROUGE-L and CIDEr, as papers publish them.

These are the figures of the COCO caption evaluation (Chen et al. 2015), from its own library,
`pycocoevalcap`: BLEU over the whole set (Papineni et al. 2002), METEOR 1.5 (Denkowski & Lavie
2014), ROUGE-L (Lin 2004) and CIDEr (Vedantam et al. 2015; the variant CIDEr-D). All are times 100
as in the papers' tables: BLEU goes up to 100, CIDEr up to 1000. CIDEr weighs words by how
rare they are in the references scored, so it does not compare between sets and is 0 of one image.

Published scores are of text tokenized by Stanford's PTB tokenizer; another tokenizer moves them.
PTB and METEOR need Java. Without it nltk's Treebank tokenizer stands in, which differs on few
captions, and METEOR is left out: nltk's is another metric (of 2007), with figures twice as high.

Of scripts without spaces between words each character can be scored as a word.
"""

import contextlib
import dataclasses
import os
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

from nltk.tokenize.treebank import TreebankWordTokenizer
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer

from tfrecords_schema.characters import CHARACTER, separate_characters
from tfrecords_schema.typography import plain_text, without_signs
from tfrecords_schema.vocabulary import RESERVED

Tokenizer = Literal["ptb", "treebank"]
Captions = dict[str, list[str]]  # by image id

SPECIAL_TOKENS = (*RESERVED, "startseq", "endseq")  # the last two are the Flickr8k tutorials'

STAND_IN = "字"  # for each character that PTB must not see: it drops the vowels of Khmer

# METEOR's jar writes numbers in the user's locale and breaks on a decimal comma.
_ENGLISH = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")


def java_available() -> bool:
    """Whether `java` is on PATH and runs: the one macOS puts there only asks to be installed."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True).returncode == 0
    except OSError:
        return False


@dataclasses.dataclass(frozen=True)
class References:
    """Tokenized reference captions of a set of images; `tokenize_references` makes them.

    Attributes:
      captions: image id -> captions, their tokens separated by spaces, sorted by image id.
      tokenizer: what made them and will tokenize the candidates; report it with the scores.
      characters: whether each character of a script without spaces is a token, also of candidates.
    """

    captions: Captions
    tokenizer: Tokenizer
    characters: bool = False


def tokenize_references(
    captions: Captions, tokenizer: Tokenizer | None = None, characters: bool = False
) -> References:
    """Tokenizes references once, so that each validation pays only for its candidates.

    Args:
      captions: image id -> its reference captions, as people wrote them.
      tokenizer: None takes "ptb" where there is Java, "treebank" elsewhere.
      characters: makes a token of each character of a script without spaces.

    Raises:
      ValueError: an image has no caption, or no caption at all holds a word.
    """
    tokenizer = tokenizer or ("ptb" if java_available() else "treebank")
    images = sorted(captions)  # floating-point sums then do not depend on the dict's order
    if not images:
        raise ValueError("no images: there is nothing to score")
    for image in images:
        if not captions[image]:
            raise ValueError(f"image {image!r} has no reference caption: each needs at least one")
    texts = [text for image in images for text in captions[image]]
    tokenized = iter(_tokenize(texts, tokenizer, characters))
    by_image = {image: [next(tokenized) for _ in captions[image]] for image in images}
    if not any(text for texts in by_image.values() for text in texts):
        raise ValueError(f"no reference caption of the {len(images)} images holds a word")
    return References(by_image, tokenizer, characters)


def score_cider(references: References, candidates: Mapping[str, str]) -> float:
    """CIDEr alone, cheap enough for each epoch. Takes and raises what `score_captions` does."""
    gts, res = references.captions, _tokenize_candidates(references, candidates)
    return 100 * float(Cider().compute_score(gts, res)[0])


def score_captions(
    references: References, candidates: Mapping[str, str], meteor: bool = True
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr of one candidate for each image.

    Args:
      references: the captions to compare with.
      candidates: image id -> caption. An empty one is legal and scores 0.
      meteor: False leaves METEOR out, which takes seconds; so does a machine without Java.

    Raises:
      ValueError: the images of the two are not the same, or a candidate holds a special token.
      RuntimeError: the tokenizer or METEOR failed, with what it said.
    """
    gts, res = references.captions, _tokenize_candidates(references, candidates)
    bleus, _ = Bleu(4).compute_score(gts, res, verbose=0)
    scores = {f"BLEU-{n}": 100 * float(bleu) for n, bleu in enumerate(bleus, start=1)}
    if meteor and java_available():
        scores["METEOR"] = _meteor(gts, res)
    scores["ROUGE-L"] = 100 * float(Rouge().compute_score(gts, res)[0])
    scores["CIDEr"] = 100 * float(Cider().compute_score(gts, res)[0])
    return scores


def _tokenize_candidates(references: References, candidates: Mapping[str, str]) -> Captions:
    """The candidates as the scorers want them, in the references' order."""
    images = references.captions.keys()
    missing, extra = sorted(images - candidates.keys()), sorted(candidates.keys() - images)
    if missing or extra:
        raise ValueError(
            f"need one candidate for each of the {len(images)} images with references: "
            f"{len(missing)} missing {missing[:1]}, {len(extra)} extra {extra[:1]}"
        )
    # References that keep an end token too give it as a free match at every sentence's end:
    # published Flickr8k figures are up to five BLEU-4 points too high by it.
    for image, text in candidates.items():
        for token in SPECIAL_TOKENS:
            if token in text.lower():
                raise ValueError(f"candidate of image {image!r} holds {token!r}: {text!r}")
    texts = [candidates[image] for image in images]
    tokenized = _tokenize(texts, references.tokenizer, references.characters)
    return {image: [text] for image, text in zip(images, tokenized, strict=True)}


def _tokenize(texts: list[str], tokenizer: Tokenizer, characters: bool = False) -> list[str]:
    """Lower-cased tokens separated by spaces, without punctuation, one string for each text."""
    if not characters:
        return _tokenize_words(texts, tokenizer)
    texts = [without_signs(separate_characters(plain_text(text))) for text in texts]
    lines = _tokenize_words([CHARACTER.sub(STAND_IN, text) for text in texts], tokenizer)
    found = [iter(CHARACTER.findall(text)) for text in texts]
    return [
        " ".join(next(each) if word == STAND_IN else word for word in line.split(" "))
        for line, each in zip(lines, found, strict=True)
    ]


def _tokenize_words(texts: list[str], tokenizer: Tokenizer) -> list[str]:
    # PTB reads a text a line, and \v or U+2028 inside one would shift all later captions to other
    # images; split() splits at every such character. Lone surrogates (JSON has them) no pipe takes.
    texts = [" ".join(text.encode(errors="replace").decode().split()) for text in texts]
    # What a model writes is in NFC, as the pipeline's vocabulary; references are as people wrote.
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    if tokenizer == "ptb":
        lines = _run_ptb(texts)
    else:  # PTB too writes -LRB- for a parenthesis before it lower-cases
        tokenize = TreebankWordTokenizer().tokenize
        lines = [" ".join(tokenize(text, convert_parentheses=True)).lower() for text in texts]
    dropped = frozenset(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(word for word in line.split(" ") if word not in dropped) for line in lines]


def _run_ptb(texts: list[str]) -> list[str]:
    """Runs the library's tokenizer jar with the library's options; punctuation stays in.

    The library's own wrapper writes a temporary file into its package directory, which may be
    read-only, lets the jar chat on the user's screen and does not count the lines it gets back.
    """
    folder = os.path.dirname(ptbtokenizer.__file__)
    jar = os.path.join(folder, ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = ["java", *_ENGLISH, "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-preserveLines", "-lowerCase"]
    done = subprocess.run(command, input="\n".join(texts).encode(), capture_output=True)
    lines = done.stdout.decode().split("\n")
    if done.returncode or len(lines) != len(texts):
        raise RuntimeError(
            f"the PTB tokenizer gave {len(lines)} lines for {len(texts)} captions, exit status "
            f"{done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        )
    return lines


def _meteor(gts: Captions, res: Captions) -> float:
    """METEOR by a Java process that is gone when this returns."""
    # ||| separates the fields of the jar's protocol.
    gts = {image: [text.replace("|||", " ") for text in texts] for image, texts in gts.items()}
    res = {image: [text.replace("|||", " ") for text in texts] for image, texts in res.items()}
    with _english_java():
        scorer = Meteor()
    process = scorer.meteor_p
    try:
        return 100 * float(scorer.compute_score(gts, res)[0])
    except (OSError, ValueError) as error:  # a broken pipe, or nothing where a number should be
        process.kill()
        said = process.stderr.read().decode(errors="replace")
        raise RuntimeError(f"METEOR stopped: {said[-1000:]}") from error
    finally:
        # Its __del__ waits for this lock, and compute_score keeps it when it raises.
        if scorer.lock.locked():
            scorer.lock.release()
        process.kill()
        with contextlib.suppress(BrokenPipeError), process:  # closes the pipes and waits
            pass


@contextlib.contextmanager
def _english_java() -> Iterator[None]:
    """Java started inside is English: the library's METEOR command takes no options of ours."""
    name, before = "JAVA_TOOL_OPTIONS", os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ[name] = " ".join([*filter(None, [before]), *_ENGLISH])
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({} if before is None else {name: before})
