"""Scores of a run's best model on a split, and the captions behind them."""

import dataclasses
import json
import os
from collections.abc import Iterator

from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import ids_in_source
from trainer.data.damaged_shards import damaged_shards_named
from trainer.decoding.caption_split import SplitCaptioner
from trainer.decoding.search_config import DEFAULT_SEARCH, SearchConfig
from trainer.runs.run_directory import load_run, read_config
from trainer.scores.ceiling import find_ceiling, of_low_ceiling, say_references
from trainer.scores.distinct_captions import ADVICE, count_distinct, of_few_captions, say_distinct
from trainer.scores.metrics import References, score_captions
from trainer.scores.references import read_split_references
from trainer.scores.score_files import write_evaluation

EXAMPLES = 5  # captions to print


def evaluate(
    run: str,
    split: str,
    search: SearchConfig = DEFAULT_SEARCH,
    data: str = "",
) -> dict[str, float]:
    """Captions a split, scores the captions, and prints both.

    Writes `captions-<split>.json` (COCO results format, ids as in the source) and
    `scores-<split>.json` into the run.

    Args:
      run: directory of a trained run.
      split: to caption.
      search: how captions are searched for.
      data: the dataset where it has moved; empty: where the run found it.

    Returns:
      BLEU-1 to BLEU-4, METEOR (with Java, in Latin script), ROUGE-L and CIDEr, times 100.

    Raises:
      InputError: the run, the dataset or the split is not there or not what the manifest counts,
        XLA cannot compile the model, or the run cannot be written to.
    """
    dataclasses.replace(
        read_config(run)[0], jit_compile=search.jit_compile
    )  # refuses what cannot be
    trained = load_run(run, data)
    dataset = trained.dataset
    if not dataset.images(split):
        raise InputError(
            f"--split={split!r}: {dataset.directory} has no such split, it has: "
            f"{', '.join(dataset.splits)}"
        )
    with damaged_shards_named(dataset):
        references, tokenized = read_split_references(dataset, split)
        captions, loss = SplitCaptioner(trained.model, dataset, split, search)()
        said = say_references(dataset, split)
    scores, ceiling = score_captions(tokenized, captions), find_ceiling(tokenized, said)

    ids = ids_in_source(captions, dataset.manifest.integer_ids)
    results = [{"image_id": ids[image], "caption": text} for image, text in captions.items()]
    row = {
        "split": split,
        "images": len(captions),
        "search": dataclasses.asdict(search),
        "tokenizer": tokenized.tokenizer,
    }
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
            f"beam width {search.beam_width}. The scores:"
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
