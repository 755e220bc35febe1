"""Caption metrics as published in papers: BLEU-1 to 4, METEOR, ROUGE-L and CIDEr.

They are the metrics of the COCO caption evaluation (Chen et al. 2015), from its own library,
`pycocoevalcap`: BLEU over the whole set (Papineni et al. 2002), METEOR 1.5 (Denkowski & Lavie
2014), ROUGE-L (Lin 2004) and CIDEr (Vedantam et al. 2015; the variant CIDEr-D). All are times 100
as in the papers' tables: BLEU goes up to 100, CIDEr up to 1000. CIDEr weights words by how rare
they are in the scored references. So CIDEr cannot be compared between sets, and is 0 for one image.

Captions are tokenized by `trainer.scores.tokenize_captions`: by Stanford's PTB tokenizer, or
without Java by nltk's. METEOR needs Java too and is left out without it: nltk's METEOR is another
metric (of 2007), with scores twice as high. It is also left out where most letters are not Latin,
since it knows the endings, synonyms and function words of English. (Letters do not tell English
from other languages in Latin script; METEOR scores those as if they were English.)
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from tfrecords_schema.vocabulary import RESERVED
from trainer.scores.tokenize_captions import (
    ENGLISH_JAVA,
    Tokenizer,
    java_available,
    mostly_latin,
    tokenize_as_written,
    tokenize_published,
)

Captions = dict[str, list[str]]  # by image id

SPECIAL_TOKENS = (*RESERVED, "startseq", "endseq")  # the last two are the Flickr8k tutorials'


@dataclasses.dataclass(frozen=True)
class References:
    """Tokenized reference captions of a set of images; `tokenize_references` makes them.

    Attributes:
      captions: image id -> captions, their tokens separated by spaces, sorted by image id.
      tokenizer: the tokenizer of references and candidates; report it with the scores.
      characters: whether each character of a script without spaces is a token, also of candidates.
      latin: whether most letters of the captions are Latin.
    """

    captions: Captions
    tokenizer: Tokenizer
    characters: bool = False
    latin: bool = True

    def tokenize(self, texts: list[str]) -> list[str]:
        """Tokens separated by spaces, one string for each text."""
        if self.latin and not self.characters:
            return tokenize_published(texts, self.tokenizer)
        return tokenize_as_written(texts, self.characters)


def tokenize_references(
    captions: Captions, tokenizer: Tokenizer | None = None, characters: bool = False
) -> References:
    """Tokenizes references once, so that each validation tokenizes only its candidates.

    Args:
      captions: image id -> its reference captions, as people wrote them.
      tokenizer: None means "ptb" if there is Java, else "treebank". It is always "treebank" for
        characters, and where most letters are not Latin.
      characters: whether each character of a script without spaces is a token.

    Raises:
      ValueError: an image has no caption, or no caption has a word.
    """
    images = sorted(captions)  # so that floating-point sums do not depend on the dict's order
    if not images:
        raise ValueError("no images: there is nothing to score")
    for image in images:
        if not captions[image]:
            raise ValueError(f"image {image!r} has no reference caption: each needs at least one")
    texts = [text for image in images for text in captions[image]]
    latin = mostly_latin(texts)
    if characters or not latin:
        tokenizer = "treebank"
    tokenizer = tokenizer or ("ptb" if java_available() else "treebank")
    references = References({}, tokenizer, characters, latin)
    tokenized = iter(references.tokenize(texts))
    by_image = {image: [next(tokenized) for _ in captions[image]] for image in images}
    if not any(text for texts in by_image.values() for text in texts):
        raise ValueError(f"no reference caption of the {len(images)} images holds a word")
    return dataclasses.replace(references, captions=by_image)


def cider_can_tell(references: References) -> bool:
    """Whether any caption can have a CIDEr other than 0.

    An n-gram of one to four words has the weight log (images / images whose references have it),
    which is 0 if all images have it. So CIDEr is 0 for every caption if there is one image, or if
    the references of all images have the same n-grams.
    """
    first, *others = references.captions.values()
    runs = _runs_of_words(first)
    return any(_runs_of_words(captions) != runs for captions in others)


def _runs_of_words(captions: list[str]) -> set[tuple[str, ...]]:
    sentences = [caption.split() for caption in captions]
    return {
        tuple(words[start : start + length])
        for words in sentences
        for length in range(1, 5)
        for start in range(len(words) - length + 1)
    }


def score_cider(references: References, candidates: Mapping[str, str]) -> float:
    """CIDEr alone, fast enough for each epoch. See `score_captions` for arguments and errors."""
    gts, res = references.captions, _tokenize_candidates(references, candidates)
    return 100 * float(Cider().compute_score(gts, res)[0])


def score_captions(
    references: References, candidates: Mapping[str, str], meteor: bool = True
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr of one candidate for each image.

    Args:
      references: the captions to compare with.
      candidates: image id -> caption. An empty one is legal and scores 0.
      meteor: False leaves out METEOR, which takes seconds. It is also left out without Java, and
        for references in another script than Latin.

    Raises:
      ValueError: the images of the two differ, or a candidate holds a special token.
      RuntimeError: the tokenizer or METEOR failed; the message holds its output.
    """
    gts, res = references.captions, _tokenize_candidates(references, candidates)
    bleus, _ = Bleu(4).compute_score(gts, res, verbose=0)
    scores = {f"BLEU-{n}": 100 * float(bleu) for n, bleu in enumerate(bleus, start=1)}
    if meteor and references.latin and java_available():
        scores["METEOR"] = _meteor(gts, res)
    scores["ROUGE-L"] = 100 * float(Rouge().compute_score(gts, res)[0])
    scores["CIDEr"] = 100 * float(Cider().compute_score(gts, res)[0])
    return scores


def _tokenize_candidates(references: References, candidates: Mapping[str, str]) -> Captions:
    """The tokenized candidates, in the references' order."""
    images = references.captions.keys()
    missing, extra = sorted(images - candidates.keys()), sorted(candidates.keys() - images)
    if missing or extra:
        raise ValueError(
            f"need one candidate for each of the {len(images)} images with references: "
            f"{len(missing)} missing {missing[:1]}, {len(extra)} extra {extra[:1]}"
        )
    # If references keep an end token too, it is a free match at the end of every sentence:
    # published Flickr8k scores are up to five BLEU-4 points too high because of it.
    for image, text in candidates.items():
        for token in SPECIAL_TOKENS:
            if token in text.lower():
                raise ValueError(f"candidate of image {image!r} holds {token!r}: {text!r}")
    texts = [candidates[image] for image in images]
    tokenized = references.tokenize(texts)
    return {image: [text] for image, text in zip(images, tokenized, strict=True)}


def _meteor(gts: Captions, res: Captions) -> float:
    """METEOR, computed by a Java process that has ended when this returns."""
    # ||| is the field separator of the jar's protocol.
    gts = {image: [text.replace("|||", " ") for text in texts] for image, texts in gts.items()}
    res = {image: [text.replace("|||", " ") for text in texts] for image, texts in res.items()}
    with _english_java():
        scorer = Meteor()
    process = scorer.meteor_p
    try:
        return 100 * float(scorer.compute_score(gts, res)[0])
    except (OSError, ValueError) as error:  # a broken pipe, or output that is no number
        process.kill()
        said = process.stderr.read().decode(errors="replace")
        raise RuntimeError(f"METEOR stopped: {said[-1000:]}") from error
    finally:
        # The scorer's __del__ waits for this lock, which compute_score keeps when it raises.
        if scorer.lock.locked():
            scorer.lock.release()
        process.kill()
        with contextlib.suppress(BrokenPipeError), process:  # closes the pipes and waits
            pass


@contextlib.contextmanager
def _english_java() -> Iterator[None]:
    """Sets Java's locale to English within the context; the library's METEOR takes no options."""
    name, before = "JAVA_TOOL_OPTIONS", os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ[name] = " ".join([*filter(None, [before]), *ENGLISH_JAVA])
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({} if before is None else {name: before})
