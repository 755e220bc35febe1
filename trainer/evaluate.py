"""Scores of a run's best model on a split, and the captions behind them."""

import dataclasses
import json
import os

from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.characters import of_characters
from tfrecords_schema.errors import InputError
from trainer.caption_split import SplitCaptioner
from trainer.dataset import read_references
from trainer.metrics import score_captions, tokenize_references
from trainer.run_directory import load_run, read_config

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

    Writes `captions-<split>.json` (COCO results format) and `scores-<split>.json` into the run.

    Args:
      run: directory of a trained run.
      data: the dataset where it has moved; empty: where the run found it.
      split: to caption.
      beam_width: see `beam_search`.
      max_words: likewise.
      length_penalty: likewise.
      jit_compile: see `trainer.decode.compiled`.

    Returns:
      BLEU-1 to BLEU-4, METEOR (with Java), ROUGE-L and CIDEr, times 100.

    Raises:
      InputError: the run, the dataset or the split is not there, or XLA cannot compile the model.
    """
    dataclasses.replace(read_config(run)[0], jit_compile=jit_compile)  # refuses what cannot be
    trained = load_run(run, data)
    data, manifest = trained.config.data, trained.manifest
    if not manifest.splits.get(split):
        names = ", ".join(name for name, shards in manifest.splits.items() if shards)
        raise InputError(f"--split={split!r}: {data} has no such split, it has: {names}")
    references = read_references(data, manifest, split)
    caption = SplitCaptioner(
        trained.model, trained.vocabulary, data, manifest, split,
        beam_width, max_words, length_penalty, jit_compile,
    )  # fmt: skip
    captions = caption()
    characters = of_characters(manifest.config)
    tokenized = tokenize_references(references, characters=characters)
    scores = score_captions(tokenized, captions)

    search = {
        "beam_width": beam_width, "max_words": max_words, "length_penalty": length_penalty,
    }  # fmt: skip
    captions_path = os.path.join(run, f"captions-{split}.json")
    scores_path = os.path.join(run, f"scores-{split}.json")
    results = [{"image_id": image, "caption": text} for image, text in captions.items()]
    write_text(captions_path, json.dumps(results, indent=1) + "\n")
    row = {"split": split, "images": len(captions), **search, "tokenizer": tokenized.tokenizer}
    if characters:
        row["characters"] = True
    write_text(scores_path, json.dumps({**row, "scores": scores}, indent=2) + "\n")

    print(f"{split}: {len(captions)} images, beam width {beam_width}")
    for name, score in scores.items():
        print(f"  {name:<8}{score:7.1f}")
    if characters:
        print("Each character of a script without spaces was scored as a word.")
    if tokenized.tokenizer != "ptb":
        print(
            "Java was not found: captions were tokenized by nltk's Treebank tokenizer instead of "
            "the PTB tokenizer, and METEOR is left out."
        )
    for image in sorted(captions)[:: max(1, len(captions) // EXAMPLES)][:EXAMPLES]:
        print(f"{image}\n  caption:   {captions[image]}\n  reference: {references[image][0]}")
    print(f"Captions: {captions_path}\nScores: {scores_path}")
    return scores
