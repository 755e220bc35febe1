"""Scores a model on a split, and keeps the captions."""

import dataclasses
import json
from collections.abc import Iterator

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import ids_in_source
from trainer.data.damaged_shards import damaged_shards_named
from trainer.decoding.caption_split import SplitCaptioner
from trainer.decoding.search_config import SearchConfig
from trainer.models.captioner import Captioner
from trainer.scores.ceiling import find_ceiling, of_low_ceiling, say_references
from trainer.scores.distinct_captions import ADVICE, count_distinct, of_few_captions, say_distinct
from trainer.scores.metrics import References, score_captions
from trainer.scores.references import read_split_references

EXAMPLES = 5  # captions to show


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The captions of a split and their scores."""

    split: str
    search: SearchConfig
    scores: dict[str, float]  # BLEU-1 to BLEU-4, METEOR (with Java), ROUGE-L and CIDEr, times 100
    captions: dict[str, str]  # image_id -> the best caption
    references: dict[str, list[str]]  # image_id -> the captions that people wrote
    loss: float  # cross-entropy of the references, nats a word
    distinct_captions: int
    ceiling: dict[str, float]  # the scores of a model that repeats a reference
    tokenizer: str  # name of the tokenizer of the scores
    characters: bool  # whether each character of a script without spaces was scored as a word
    remarks: tuple[str, ...]  # notes on the scores, a sentence or two each


def evaluate(
    model: Captioner,
    dataset: Dataset,
    split: str,
    search: SearchConfig,
    show_progress: bool = False,
) -> Evaluation:
    """Captions a split and scores the captions.

    Args:
      model: a trained captioner.
      dataset: the dataset that it was trained on.
      split: the split to caption.
      search: the search settings.
      show_progress: whether a terminal shows a progress bar.

    Raises:
      InputError: the dataset has no such split, or its counts differ from the manifest's.
    """
    if not dataset.images(split):
        raise InputError(
            f"--split={split!r}: {dataset.directory} has no such split, it has: "
            f"{', '.join(dataset.splits)}"
        )
    with damaged_shards_named(dataset):
        references, tokenized = read_split_references(dataset, split)
        captioner = SplitCaptioner(model, dataset, split, search, show_progress=show_progress)
        captions, loss = captioner()
        said = say_references(dataset, split)
    scores, ceiling = score_captions(tokenized, captions), find_ceiling(tokenized, said)
    remarks = [*_remarks(tokenized, scores), of_low_ceiling(ceiling)]
    if few := of_few_captions(captions, tokenized):
        remarks.append(f"{few} {ADVICE}")
    return Evaluation(
        split=split,
        search=search,
        scores=scores,
        captions=captions,
        references=references,
        loss=loss,
        distinct_captions=count_distinct(captions),
        ceiling=ceiling,
        tokenizer=tokenized.tokenizer,
        characters=tokenized.characters,
        remarks=tuple(filter(None, remarks)),
    )


def evaluation_text(evaluation: Evaluation) -> str:
    """The scores, the remarks and a few captions, as lines of text for the user."""
    captions, references = evaluation.captions, evaluation.references
    lines = [
        f"The {len(captions)} images of the {evaluation.split} split got "
        f"{say_distinct(captions)}, with beam width {evaluation.search.beam_width}. The scores:"
    ]
    lines += [f"  {name:<8}{score:7.1f}" for name, score in evaluation.scores.items()]
    lines += evaluation.remarks
    for image in sorted(captions)[:: max(1, len(captions) // EXAMPLES)][:EXAMPLES]:
        lines.append(
            f"{image}\n  caption:   {captions[image]}\n  reference: {references[image][0]}"
        )
    return "\n".join(lines)


def evaluation_files(evaluation: Evaluation, dataset: Dataset) -> dict[str, str]:
    """The names and contents of the files of an evaluation.

    Returns:
      `captions-<split>.json` (COCO results format, ids as in the source) and
      `scores-<split>.json`.
    """
    captions, split = evaluation.captions, evaluation.split
    ids = ids_in_source(captions, dataset.manifest.integer_ids)
    results = [{"image_id": ids[image], "caption": text} for image, text in captions.items()]
    row = {
        "split": split,
        "images": len(captions),
        "search": dataclasses.asdict(evaluation.search),
        "tokenizer": evaluation.tokenizer,
    }
    if evaluation.characters:
        row["characters"] = True
    for name in ("distinct_captions", "loss", "ceiling", "scores"):
        row[name] = getattr(evaluation, name)
    return {
        f"captions-{split}.json": json.dumps(results, indent=1) + "\n",
        f"scores-{split}.json": json.dumps(row, indent=2) + "\n",
    }


def _remarks(references: References, scores: dict[str, float]) -> Iterator[str]:
    """Notes on the scores, a sentence each."""
    if references.characters:
        yield "Each character of a script without spaces was scored as a word."
    if not references.latin:
        yield (
            "Most letters of the references are not Latin: both sides have the words of the "
            "pipeline's tokenizer. METEOR is left out, which is for English."
        )
    elif "METEOR" in scores:
        yield "METEOR takes the captions for English."
    elif references.characters:
        yield "Java was not found: METEOR is left out."
    else:
        yield (
            "Java was not found: captions were tokenized by nltk's Treebank tokenizer instead of "
            "the PTB tokenizer, and METEOR is left out."
        )
