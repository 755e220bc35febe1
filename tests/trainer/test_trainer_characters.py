"""A dataset in a script without spaces, from captions to the export."""

import json
import os
import re

import pytest
import tensorflow as tf
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from small_configs import pipeline_config, train_config

from pipeline.drawn_pictures import write_pictures
from pipeline.run import write_dataset
from tfrecords_schema.manifest import VOCABULARY_FILE
from tfrecords_schema.vocabulary import RESERVED, read_vocabulary
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.scores.evaluate import evaluation_text
from trainer.trained_run import load_run

pytestmark = pytest.mark.slow
SEARCH = SearchConfig(beam_width=2, max_words=12, length_penalty=0.0)
COUNTS = {"one": "一", "two": "两", "three": "三", "a": "一"}
COLORS = {"red": "红", "green": "绿", "blue": "蓝", "yellow": "黄", "pink": "粉", "black": "黑"}
SHAPES = {"circle": "圆", "bar": "条", "cross": "叉", "triangle": "三角"}


def in_chinese(sentence):
    """ "Two red bars ." is 一张photo里有两红条。"""
    plurals = {f"{word}{end}": SHAPES[word] for word in SHAPES for end in ("s", "es")}
    translation = {**COUNTS, **COLORS, **SHAPES, **plurals}
    said = "".join(translation.get(word, "") for word in sentence.lower().split())
    return f"一张photo里有{said}。"


def words(text):
    """The words of a caption: characters and Latin words."""
    return re.findall(r"[a-z]+|[\u4e00-\u9fff]", text)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose captions are Chinese, with a Latin word."""
    directory = tmp_path_factory.mktemp("characters")
    pictures, data, run = (str(directory / name) for name in ("pictures", "data", "run"))
    write_pictures(pictures, count=60, seed=3, damaged=0)
    path = os.path.join(pictures, "Flickr8k.token.txt")
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{name}\t{in_chinese(text)}\n" for name, text in rows)
    config = pipeline_config(pictures, data, clean="characters", min_count=1)
    write_dataset(config)
    train(train_config(data, run, epochs=8, learning_rate=0.01))
    return run


def test_the_vocabulary_has_characters_and_latin_words(run):
    with open(os.path.join(run, "config.json"), encoding="utf-8") as file:
        data = json.load(file)["data"]
    tokens = set(read_vocabulary(os.path.join(data, VOCABULARY_FILE)).tokens) - set(RESERVED)
    assert tokens == set(words("一张photo里有两三红绿蓝黄粉黑圆条叉角"))


def test_captions_are_scored_by_character_and_read_and_served_as_text(run, tmp_path):
    evaluation = load_run(run).evaluate("test", SEARCH)
    scores = evaluation.scores
    assert "scored as a word" in evaluation_text(evaluation)
    with open(os.path.join(run, "scores-test.json"), encoding="utf-8") as file:
        assert json.load(file)["characters"]
    with open(os.path.join(run, "captions-test.json"), encoding="utf-8") as file:
        captions = {row["image_id"]: row["caption"] for row in json.load(file)}
    for text in captions.values():
        assert text.startswith("一张 photo 里有")
        assert " " not in text.removeprefix("一张 photo ")
    trained = load_run(run)
    references = trained.dataset.references("test")
    apart = {
        image: [" ".join(words(text)) for text in texts] for image, texts in references.items()
    }
    said = {image: [" ".join(words(text))] for image, text in captions.items()}
    assert scores["BLEU-4"] == pytest.approx(100 * Bleu(4).compute_score(apart, said, 0)[0][3])
    assert scores["CIDEr"] == pytest.approx(100 * Cider().compute_score(apart, said)[0])
    assert scores["CIDEr"] > 0
    path = load_run(run).export(str(tmp_path / "export"), SEARCH, check=False)
    served = tf.saved_model.load(path).signatures["serving_default"]
    pictures = os.path.join(os.path.dirname(run), "pictures", "images")
    for name, caption in captions.items():
        with open(os.path.join(pictures, name), "rb") as file:
            result = served(image_bytes=tf.constant([file.read()]))
        assert result["captions"][0, 0].numpy().decode() == caption
