"""The score ceiling: the scores of a model that repeats the references in its own vocabulary.

A model writes words of the vocabulary. References have other words, parts beyond the longest
caption, and signs that are scored but are no words to the pipeline, such as the `&` of English.
"""

from tfrecords_schema.characters import join_characters
from tfrecords_schema.dataset import Dataset
from tfrecords_schema.vocabulary import UNK
from trainer.scores.metrics import References, score_captions

TOP = 100.0  # the top score of BLEU and ROUGE-L; CIDEr's differs for each set of references


def say_references(dataset: Dataset, split: str) -> dict[str, str]:
    """Maps each image_id to its reference with the fewest unknown words, as a model writes it."""
    join = join_characters if dataset.has_characters else str
    said = {}
    for record in dataset.parsed(split, ("image_id", "caption_ids")):
        captions = record["caption_ids"].to_list()
        best = min(captions, key=lambda ids: ids.count(UNK))
        said[record["image_id"].numpy().decode()] = join(" ".join(dataset.vocabulary.words(best)))
    return said


def find_ceiling(references: References, said: dict[str, str]) -> dict[str, float]:
    """BLEU-1 to BLEU-4 and ROUGE-L of the result of `say_references`, without CIDEr and METEOR."""
    scores = score_captions(references, said, meteor=False)
    return {name: score for name, score in scores.items() if name != "CIDEr"}


def of_low_ceiling(ceiling: dict[str, float]) -> str:
    """A remark on a ceiling below the top score; empty if no score is below it."""
    low = [f"{name} {score:.1f}" for name, score in ceiling.items() if round(score, 1) < TOP]
    if not low:
        return ""
    return (
        f"A model that repeated a reference of each image would have {', '.join(low)}. More is not "
        "within reach: references have words that the vocabulary lacks, ends that were cut off, or "
        "signs that are scored and no words, such as & and %."
    )
