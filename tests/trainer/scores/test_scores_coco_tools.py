"""COCO's own tools judge what `evaluate` writes by the annotations that the dataset was made of."""

import json
import os

import numpy as np
import pycocoevalcap.eval
import pytest
import tensorflow as tf
from pycocoevalcap.eval import COCOEvalCap
from pycocotools.coco import COCO
from small_configs import pipeline_config, train_config

from pipeline.drawn_pictures import describe, draw, random_scene
from pipeline.run import write_dataset
from tfrecords_schema.parse import parse_record
from tfrecords_schema.source_ids import ids_in_source
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.scores.metrics import java_available
from trainer.trained_run import load_run

COUNTS = {"train": 24, "val": 8}
SPLITS = {"train": "train", "val": "validation"}


class NoSpice:
    """In the place of SPICE, which downloads its parser on the first use."""

    def compute_score(self, gts, res):
        return 0.0, [0.0 for _ in gts]

    def method(self):
        return "SPICE"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn pictures in `<split>2014`, and {(split, number): (file name, captions)}."""
    root, rng, images = tmp_path_factory.mktemp("coco"), np.random.default_rng(5), {}
    for split, count in COUNTS.items():
        (root / f"{split}2014").mkdir()
        for number in range(count):
            name = f"COCO_{split}2014_{id_of(split, number):012}.jpg"
            scene = random_scene(rng)
            draw(scene, rng).save(root / f"{split}2014" / name)
            images[split, number] = name, describe(scene, rng, 3)
    return root, images


def id_of(split, number):
    """Like COCO's own: no order, and no number in two files."""
    return 2 * 7919 * number % 10007 + (split == "val")


def annotations(path, images, split, image_id):
    """A captions file of COCO's, whose images are called by `image_id`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(COUNTS[split])
    content = {
        "images": [{"id": image_id(split, n), "file_name": images[split, n][0]} for n in numbers],
        "annotations": [
            {"id": 10 * n + k, "image_id": image_id(split, n), "caption": text}
            for n in numbers
            for k, text in enumerate(images[split, n][1])
        ],
    }
    path.write_text(json.dumps(content))


def make_dataset(drawn, root, image_id, **changes):
    """A dataset, of text by default, in COCO's layout, whose images are called by `image_id`."""
    directory, images = drawn
    for split in COUNTS:
        annotations(root / f"in/captions_{split}2014.json", images, split, image_id)
    flags = dict(source="coco", image_directory=str(directory), features="none", min_count=1)
    config = pipeline_config(str(root / "in"), root / "data", **flags | changes)
    return write_dataset(config).manifest, str(root / "data")


def records(manifest, data, split):
    """Id -> name of the image file, as the records of a split have them."""
    paths = [os.path.join(data, shard.file) for shard in manifest.splits[split]]
    rows = [parse_record(manifest.features(), row) for row in tf.data.TFRecordDataset(paths)]
    return {
        row["image_id"].numpy().decode(): os.path.basename(row["image_uri"].numpy().decode())
        for row in rows
    }


@pytest.fixture(scope="module")
def evaluated(drawn, tmp_path_factory):
    """A short training on the pictures as COCO calls them, evaluated on its validation split."""
    root = tmp_path_factory.mktemp("trained")
    manifest, data = make_dataset(drawn, root, id_of, features="grid")
    train(train_config(data, root / "run", batch_size=2, epochs=1, learning_rate=1e-2))
    scores = load_run(str(root / "run")).evaluate("validation", SearchConfig(1, 12, 0.0)).scores
    return root, manifest, scores


@pytest.mark.slow
@pytest.mark.skipif(not java_available(), reason="needs Java: COCOEvalCap's tokenizer and METEOR")
def test_coco_tools_judge_the_results_of_evaluate(evaluated, monkeypatch):
    root, _, scores = evaluated
    monkeypatch.setattr(pycocoevalcap.eval, "Spice", NoSpice)
    coco = COCO(str(root / "in/captions_val2014.json"))
    judge = COCOEvalCap(coco, coco.loadRes(str(root / "run/captions-validation.json")))
    judge.evaluate()
    assert judge.eval["Bleu_1"] > 0
    for ours, theirs in (("BLEU-1", "Bleu_1"), ("BLEU-4", "Bleu_4"), ("METEOR", "METEOR"),
                         ("ROUGE-L", "ROUGE_L"), ("CIDEr", "CIDEr")):  # fmt: skip
        assert scores[ours] == pytest.approx(100 * judge.eval[theirs], rel=1e-6, abs=1e-6)


@pytest.mark.slow
def test_each_image_has_the_integer_of_the_source(evaluated, drawn):
    root, manifest, _ = evaluated
    results = json.loads((root / "run/captions-validation.json").read_text())
    ids = [row["image_id"] for row in results]
    assert sorted(ids) == sorted(id_of("val", number) for number in range(COUNTS["val"]))
    assert {type(id) for id in ids} == {int}
    names = {str(id_of(*place)): name for place, (name, _) in drawn[1].items()}
    for split in SPLITS.values():
        for image_id, name in records(manifest, str(root / "data"), split).items():
            assert names[image_id] == name


@pytest.mark.parametrize(
    "image_id",
    [
        lambda split, n: n + 1,  # in both files: records have val2014/1
        lambda split, n: f"{split}-{n:03}",
        lambda split, n: id_of(split, n) if n % 2 else f"{split}-{chr(97 + n)}",
    ],
)
def test_ids_of_every_kind_are_those_of_the_source(drawn, tmp_path, image_id):
    manifest, data = make_dataset(drawn, tmp_path, image_id)
    ids = ids_in_source(records(manifest, data, "validation"), manifest.integer_ids)
    expected = {image_id("val", n) for n in range(COUNTS["val"])}
    assert {(type(id), id) for id in ids.values()} == {(type(id), id) for id in expected}
    rows = [{"image_id": id, "caption": "a dog"} for id in ids.values()]
    loaded = COCO(str(tmp_path / "in/captions_val2014.json")).loadRes(rows)
    assert set(loaded.imgToAnns) == expected


def test_karpathys_file_leads_to_the_ids_of_coco(drawn, tmp_path):
    directory, images = drawn
    entries = [
        {
            "filename": name,
            "filepath": f"{split}2014",
            "split": split,
            "cocoid": id_of(split, n),
            "sentences": [{"raw": text, "sentid": k} for k, text in enumerate(texts)],
        }
        for (split, n), (name, texts) in images.items()
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": entries}))
    config = pipeline_config(
        str(tmp_path / "dataset_coco.json"), tmp_path / "data", source="karpathy",
        image_directory=str(directory), features="none", min_count=1,
    )  # fmt: skip
    manifest = write_dataset(config).manifest
    names = records(manifest, str(tmp_path / "data"), "validation")
    ids = ids_in_source(names, manifest.integer_ids)
    expected = {images["val", n][0]: id_of("val", n) for n in range(COUNTS["val"])}
    assert ids == expected  # records keep the names of the files
