"""How far a perfect model stays from the top scores, and what evaluation says of it."""

import dataclasses
import json
import math
import os
import shutil

import pytest
import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.manifest import read_manifest, write_manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import UNK, read_vocabulary
from trainer.decoding.search_config import SearchConfig
from trainer.scores.ceiling import find_ceiling, of_low_ceiling, say_references
from trainer.scores.distinct_captions import say_distinct
from trainer.scores.evaluate import evaluation_text
from trainer.scores.metrics import tokenize_references
from trainer.trained_run import load_run


def records(dataset, split):
    manifest = read_manifest(dataset)
    for shard in manifest.splits[split]:
        for serialized in tf.data.TFRecordDataset(os.path.join(dataset, shard.file)):
            yield serialized.numpy(), parse_record(manifest.features(), serialized)


def test_the_perfect_model_says_the_reference_of_fewest_unknown_words(dataset, tmp_path):
    manifest = read_manifest(dataset)
    vocabulary = read_vocabulary(os.path.join(dataset, "vocabulary.txt"))
    expected = {}
    [shard] = manifest.splits["test"]
    with tf.io.TFRecordWriter(str(tmp_path / shard.file)) as writer:
        for number, (serialized, record) in enumerate(records(dataset, "test")):
            captions = record["caption_ids"].to_list()
            kept = number % len(captions)  # all others get unknown words
            example = tf.train.Example.FromString(serialized)
            ids = example.features.feature["caption_ids/ragged_flat_values"].int64_list.value
            start = 0
            for i, caption in enumerate(captions):
                if i != kept:
                    ids[start + 1] = UNK
                start += len(caption)
            writer.write(example.SerializeToString())
            words = [vocabulary.tokens[i] for i in captions[kept][1:-1]]
            expected[record["image_id"].numpy().decode()] = " ".join(words)
    assert say_references(Dataset(str(tmp_path), manifest, vocabulary), "test") == expected


def test_the_ceiling_is_the_score_of_known_words_and_is_told_where_it_is_low():
    references = tokenize_references(
        {"x": ["A man & a dog."], "y": ["A cat (old) runs."]}, "treebank"
    )
    assert references.captions == {"x": ["a man & a dog"], "y": ["a cat -lrb- old -rrb- runs"]}
    ceiling = find_ceiling(references, {"x": "a man a dog", "y": "a cat old runs"})
    assert list(ceiling) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"]
    assert ceiling["BLEU-1"] == pytest.approx(100 * math.exp(1 - 11 / 8))
    line = of_low_ceiling(ceiling)
    assert line.startswith(f"A model that repeated a reference of each image would have BLEU-1 "
                           f"{ceiling['BLEU-1']:.1f}, ")  # fmt: skip
    whole = find_ceiling(references, {"x": "a man & a dog", "y": "a cat (old) runs"})
    assert whole == pytest.approx(dict.fromkeys(ceiling, 100.0), abs=1e-3)
    assert of_low_ceiling(whole) == ""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX: takes Java off the PATH")
@pytest.mark.parametrize("sign", ["&", "।"])
def test_evaluation_tells_and_keeps_the_ceiling_and_the_number_of_captions(
    sign, trained_run, dataset, tmp_path, monkeypatch
):
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    shutil.copytree(dataset, data)
    shutil.copytree(trained_run, run)
    manifest = read_manifest(data)
    shard = manifest.splits["test"][0]
    path = os.path.join(data, shard.file)
    changed = []
    for serialized, _ in records(data, "test"):
        example = tf.train.Example.FromString(serialized)
        captions = example.features.feature["captions"].bytes_list.value
        for i, text in enumerate(captions):
            words = text.decode() if sign == "&" else "एक कुत्ता दौड़ रहा है"
            captions[i] = f"{words} {sign} {words}".encode()
        changed.append(example.SerializeToString())
    with tf.io.TFRecordWriter(path) as writer:
        for record in changed:
            writer.write(record)
    new = dataclasses.replace(shard, bytes=os.path.getsize(path))
    splits = {**manifest.splits, "test": [new]}
    write_manifest(data, dataclasses.replace(manifest, splits=splits))

    monkeypatch.setenv("PATH", str(tmp_path))
    evaluation = load_run(run, data).evaluate("test", SearchConfig(1, 12, 0.0))
    scores, output = evaluation.scores, evaluation_text(evaluation)
    with open(os.path.join(run, "scores-test.json")) as file:
        found = json.load(file)
    with open(os.path.join(run, "captions-test.json")) as file:
        captions = [row["caption"] for row in json.load(file)]
    assert found["distinct_captions"] == len(set(captions))
    assert found["scores"] == scores and found["loss"] > 0
    assert found["ceiling"]["BLEU-4"] < 90  # half of each reference is not in its ids
    assert f"BLEU-4 {found['ceiling']['BLEU-4']:.1f}" in output
    kinds = say_distinct(dict(enumerate(captions)))
    assert f"The {len(captions)} images of the test split got {kinds}, with beam width 1" in output
    assert "METEOR" not in scores
    assert ("Java was not found" in output) == (sign == "&")
    assert ("METEOR is left out, which is for English" in output) == (sign == "।")
