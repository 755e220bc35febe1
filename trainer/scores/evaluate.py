"""Scores of a run's best model on a split, and the captions behind them."""

import dataclasses
import json
import os
from collections.abc import Iterator

from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import ids_in_source
from trainer.data.damaged_shards import damaged_shards_named
from trainer.decoding.caption_split import SplitCaptioner
from trainer.runs.run_directory import load_run, read_config
from trainer.scores.ceiling import find_ceiling, of_low_ceiling, say_references
from trainer.scores.distinct_captions import ADVICE, count_distinct, of_few_captions, say_distinct
from trainer.scores.metrics import References, score_captions
from trainer.scores.references import read_split_references
from trainer.scores.score_files import write_evaluation

EXAMPLES = 5  # captions to print


def evaluate(
    run: str,
    data: str,
    split: str,
    beam_width: int,
    max_words: int,
    length_penalty: float,
    jit_compile: bool = False,
) -> dict[str, float]:
    """Captions a split, scores the captions, and prints both.

    Writes `captions-<split>.json` (COCO results format, ids as in the source) and
    `scores-<split>.json` into the run.

    Args:
      run: directory of a trained run.
      data: the dataset where it has moved; empty: where the run found it.
      split: to caption.
      beam_width: see `beam_search`.
      max_words: likewise.
      length_penalty: likewise.
      jit_compile: see `trainer.decoding.beam_search.compiled`.

    Returns:
      BLEU-1 to BLEU-4, METEOR (with Java, in Latin script), ROUGE-L and CIDEr, times 100.

    Raises:
      InputError: the run, the dataset or the split is not there or not what the manifest counts,
        XLA cannot compile the model, or the run cannot be written to.
    """
    dataclasses.replace(read_config(run)[0], jit_compile=jit_compile)  # refuses what cannot be
    trained = load_run(run, data)
    data, manifest = trained.config.data, trained.manifest
    if not manifest.images(split):
        names = ", ".join(name for name in manifest.splits if manifest.images(name))
        raise InputError(f"--split={split!r}: {data} has no such split, it has: {names}")
    with damaged_shards_named(data, manifest):
        references, tokenized = read_split_references(data, manifest, split)
        caption = SplitCaptioner(
            trained.model, trained.vocabulary, data, manifest, split,
            beam_width, max_words, length_penalty, jit_compile,
        )  # fmt: skip
        captions, loss = caption()
        said = say_references(data, manifest, split, trained.vocabulary)
    scores, ceiling = score_captions(tokenized, captions), find_ceiling(tokenized, said)

    search = {
        "beam_width": beam_width, "max_words": max_words, "length_penalty": length_penalty,
    }  # fmt: skip
    ids = ids_in_source(captions, manifest.integer_ids)
    results = [{"image_id": ids[image], "caption": text} for image, text in captions.items()]
    row = {"split": split, "images": len(captions), **search, "tokenizer": tokenized.tokenizer}
    if tokenized.characters:
        row["characters"] = True
    row |= {"distinct_captions": count_distinct(captions), "loss": loss, "ceiling": ceiling}
    texts = {
        f"captions-{split}.json": json.dumps(results, indent=1) + "\n",
        f"scores-{split}.json": json.dumps({**row, "scores": scores}, indent=2) + "\n",
    }

    try:
        print(
            f"The {len(captions)} images of the {split} split got {say_distinct(captions)}, with "
            f"beam width {beam_width}. The scores:"
        )
        for name, score in scores.items():
            print(f"  {name:<8}{score:7.1f}")
        for line in _remarks(tokenized, scores):
            print(line)
        if remark := of_low_ceiling(ceiling):
            print(remark)
        if remark := of_few_captions(captions, tokenized):
            print(remark, ADVICE)
        for image in sorted(captions)[:: max(1, len(captions) // EXAMPLES)][:EXAMPLES]:
            print(f"{image}\n  caption:   {captions[image]}\n  reference: {references[image][0]}")
    finally:  # also where standard output is what is full
        write_evaluation(run, texts)
    captions_path, scores_path = (os.path.join(run, name) for name in texts)
    print(f"Captions: {captions_path}\nScores: {scores_path}")
    return scores


def _remarks(references: References, scores: dict[str, float]) -> Iterator[str]:
    """What to know of the figures, a sentence each."""
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
