"""The same pictures and captions in the layout of every source give the same records."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from drawn_sources import write_tfds
from small_configs import pipeline_config

from pipeline.config import SOURCES
from pipeline.drawn_pictures import draw, random_scene
from pipeline.run import write_dataset
from pipeline.verify.verify_dataset import verify_dataset
from tfrecords_schema.parse import parse_record

pytestmark = pytest.mark.usefixtures("copied_encoders")
SPLITS = {"train": range(8), "val": range(8, 11), "test": range(11, 13)}
OURS = {"train": "train", "val": "validation", "test": "test"}
DAMAGED = 7


def jpeg(number):
    if number == DAMAGED:
        return b"not an image"
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    draw(random_scene(rng), rng, 64).save(file, "JPEG")
    return file.getvalue()


def captions(number):
    return [f"The first of picture {number} .", f"A second, longer one of it ; {number} ."]


def split_of(number):
    return next(split for split, numbers in SPLITS.items() if number in numbers)


PICTURES = {number: jpeg(number) for numbers in SPLITS.values() for number in numbers}


def write_images(directory):
    directory.mkdir(parents=True)
    for number, content in PICTURES.items():
        (directory / f"{number}.jpg").write_bytes(content)


def flickr8k(root):
    write_images(root / "Flicker8k_Dataset")
    lines = [f"{n}.jpg#{k}\t{text}" for n in PICTURES for k, text in enumerate(captions(n))]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines))
    for split, numbers in zip(("train", "dev", "test"), SPLITS.values(), strict=True):
        names = "".join(f"{number}.jpg\n" for number in numbers)
        (root / f"Flickr_8k.{split}Images.txt").write_text(names)
    return {}


def flickr30k(root):
    write_images(root / "flickr30k_images" / "flickr30k_images")
    lines = [f"{n}.jpg| {k}| {text}" for n in PICTURES for k, text in enumerate(captions(n))]
    header = "image_name| comment_number| comment"
    (root / "flickr30k_images" / "results.csv").write_text("\n".join([header, *lines]))
    return {}


def coco(root):
    for split, numbers in SPLITS.items():
        (root / f"{split}2017").mkdir(parents=True)
        for number in numbers:
            (root / f"{split}2017" / f"{number}.jpg").write_bytes(PICTURES[number])
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in numbers]
        annotations = [
            {"id": 10 * n + k, "image_id": n, "caption": text}
            for n in numbers
            for k, text in enumerate(captions(n))
        ]
        content = {"info": {}, "images": images, "annotations": annotations}
        (root / "annotations").mkdir(exist_ok=True)
        path = root / "annotations" / f"captions_{split}2017.json"
        path.write_text(json.dumps(content))
    return {}


def karpathy(root):
    write_images(root / "images")
    images = [
        {
            "filename": f"{n}.jpg", "imgid": n, "split": split_of(n),
            "sentences": [
                {"raw": text, "sentid": 10 * n + k, "tokens": text.split()}
                for k, text in enumerate(captions(n))
            ],
        }
        for n in PICTURES
    ]  # fmt: skip
    path = root / "dataset_flickr8k.json"
    path.write_text(json.dumps({"dataset": "flickr8k", "images": images}))
    return dict(input=str(path))


def table(root):
    columns = {
        "image": list(PICTURES.values()),
        "caption": [captions(n) for n in PICTURES],
        "split": [split_of(n) for n in PICTURES],
        "number": list(PICTURES),
    }
    root.mkdir()
    pq.write_table(pa.table(columns), root / "rows.parquet", row_group_size=4)
    return dict(id_column="number")


def folder(root):
    for split, numbers in SPLITS.items():
        (root / split).mkdir(parents=True)
        for n in numbers:
            (root / split / f"{n}.jpg").write_bytes(PICTURES[n])
            (root / split / f"{n}.txt").write_text("\n".join(captions(n)))
    return {}


def webdataset(root):
    root.mkdir()
    for split, numbers in SPLITS.items():
        with tarfile.open(root / f"{split}-000000.tar", "w") as tar:
            for n in numbers:
                text = "\n".join(captions(n)).encode()
                for name, content in ((f"{n}.jpg", PICTURES[n]), (f"{n}.txt", text)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return {}


def tfds_source(root):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "captions": tfds.features.Sequence({"id": np.int64, "text": tf.string}),
        }
    )
    examples = {
        split: [
            {
                "image": io.BytesIO(PICTURES[n]),
                "image/filename": f"{n}.jpg",
                "captions": [{"id": k, "text": text} for k, text in enumerate(captions(n))],
            }
            for n in numbers
        ]
        for split, numbers in SPLITS.items()
    }
    write_tfds(root, "drawn_captions", features, examples)
    return dict(tfds_name="drawn_captions")


LAYOUTS = dict(
    flickr8k=flickr8k, flickr30k=flickr30k, coco=coco, karpathy=karpathy, table=table,
    webdataset=webdataset, folder=folder, tfds=tfds_source,
)  # fmt: skip


def records(directory, manifest):
    """(split, number) -> (captions, ids of the words, features)."""
    found = {}
    for split, shards in manifest.splits.items():
        for shard in shards:
            for serialized in tf.data.TFRecordDataset(f"{directory}/{shard.file}"):
                fields = parse_record(manifest.features(), serialized)
                name = fields["image_id"].numpy().decode()
                number = int(name.removesuffix(".jpg").rpartition("/")[2])
                texts = [text.decode() for text in fields["captions"].numpy()]
                ids = fields["caption_ids"].to_list()
                found[split, number] = texts, ids, fields["image_features"].numpy()
    return found


def test_every_source_has_a_layout_here():
    assert LAYOUTS.keys() == set(SOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("source", LAYOUTS)
def test_a_source_gives_its_pictures_captions_and_splits(source, tmp_path):
    flags = LAYOUTS[source](tmp_path / "in")
    config = pipeline_config(
        flags.pop("input", str(tmp_path / "in")), tmp_path / "out", source=source,
        min_count=1, max_rejected=0.2, images_per_shard=4, **flags,
    )  # fmt: skip
    manifest = write_dataset(config).manifest
    found = records(tmp_path / "out", manifest)
    expected = {OURS[split_of(n)]: set() for n in PICTURES}
    for n in set(PICTURES) - {DAMAGED}:
        expected[OURS[split_of(n)]].add(n)
    by_split = {split: {n for s, n in found if s == split} for split in manifest.splits}
    if source == "flickr30k":  # it has no splits of its own
        assert set.union(*by_split.values()) == set.union(*expected.values())
    else:
        assert by_split == expected
    encoder = tf.saved_model.load(str(tmp_path / "out" / "image_encoder"))
    for (_, number), (texts, _, features) in found.items():
        assert texts == captions(number)
        alone = encoder(tf.constant([PICTURES[number]])).numpy()[0]
        np.testing.assert_allclose(features, alone, rtol=2**-9, atol=1e-3)
    assert sum(counts.rejected for counts in manifest.image_counts.values()) == 1
    assert verify_dataset(tmp_path / "out") == []
