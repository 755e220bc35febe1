"""The pipeline from drawn pictures to a complete dataset: counts, rejects, flags, runners."""

import hashlib
import io
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from dataset_files import assert_same, contents, rejected
from drawn_sources import copy_source, jpeg, write_flickr8k
from PIL import Image
from small_pipeline import run

from pipeline.verify.verify_dataset import verify_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import check_dataset, read_manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import read_vocabulary

pytestmark = pytest.mark.usefixtures("copied_encoders")


def bomb():
    """A hundred megapixels in a few kilobytes."""
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


def test_the_dataset_is_whole_and_its_images_add_up(dataset, pictures):
    manifest = read_manifest(dataset)
    check_dataset(dataset, manifest)
    read = {split: counts.read for split, counts in manifest.image_counts.items()}
    assert read == {"train": 96, "validation": 12, "test": 12, "unassigned": 0}
    for split in manifest.splits:
        assert manifest.image_counts[split].rejected == 1
        assert manifest.image_counts[split].add_up()
    rows = rejected(dataset).values()
    assert sorted(row["split"] for row in rows) == ["test", "train", "validation"]
    assert {(row["stage"], bool(row["message"])) for row in rows} == {
        ("read", True), ("decode", True),
    }  # fmt: skip


def test_tfds_reads_the_dataset_without_beamcap(dataset):
    code = (
        "import sys, tensorflow_datasets as tfds\n"
        "builder = tfds.builder_from_directory(sys.argv[1])\n"
        "rows = list(builder.as_dataset(split='train[:50%]').as_numpy_iterator())\n"
        "assert not {'pipeline', 'trainer', 'tfrecords_schema'} & sys.modules.keys()\n"
        "print(len(rows), rows[0]['image_features'].shape, rows[0]['captions'][0].decode())\n"
    )
    command = [sys.executable, "-c", code, dataset]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout
    assert output.startswith("48 (8, 8, ")
    assert output.strip().endswith(".")


def test_records_hold_ids_of_their_captions_and_the_vocabulary_is_of_training_alone(
    dataset, pictures
):
    manifest = read_manifest(dataset)
    vocabulary = read_vocabulary(os.path.join(dataset, "vocabulary.txt"))
    words = set()
    for split in manifest.splits:
        for shard in manifest.splits[split]:
            path = os.path.join(dataset, shard.file)
            records = [parse_record(manifest.features(), r) for r in tf.data.TFRecordDataset(path)]
            assert len(records) == shard.images
            for record in records:
                ids = record["caption_ids"].to_list()
                texts = [text.decode() for text in record["captions"].numpy()]
                assert len(ids) == len(texts) == 5
                for row, text in zip(ids, texts, strict=True):
                    assert (row[0], row[-1]) == (2, 3)
                    expected = [w.lower() for w in text.replace(" .", "").replace(",", "").split()]
                    known = [w if w in vocabulary.tokens else "<unk>" for w in expected]
                    assert [vocabulary.tokens[i] for i in row[1:-1]] == known
                    if split == "train":
                        words.update(expected)
    assert set(vocabulary.tokens[4:]) <= words


def test_every_kind_of_bad_input_is_counted_and_named(tmp_path):
    good = {f"good{i}.jpg": jpeg((i * 20, 50, 99)) for i in range(8)}
    odd = {
        "grey.jpg": jpeg(90, "L"),
        "cmyk.jpg": jpeg((1, 2, 3, 4), "CMYK"),
        "alpha.png": jpeg((9, 9, 9, 0), "RGBA", format="PNG"),
    }
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8))
    file = io.BytesIO()
    noise.save(file, "JPEG")
    bad = {
        "empty.jpg": b"",
        "truncated.jpg": file.getvalue()[:-500],
        "bomb.png": bomb(),
        "text.jpg": b"not an image",
    }
    others = {"nocaption.jpg": jpeg((1, 1, 1)), "unlisted.jpg": jpeg((2, 2, 2)),
              "leak.jpg": jpeg((3, 3, 3)), "twice.jpg": jpeg((4, 4, 4)),
              "badtext.jpg": jpeg((5, 5, 5)), "valid.jpg": jpeg((6, 6, 6))}  # fmt: skip
    captions = [
        f"{name}#{k}\tA picture number {k} .".encode()
        for name in [
            *good,
            *odd,
            *bad,
            "absent.jpg",
            "unlisted.jpg",
            "leak.jpg",
            "twice.jpg",
            "valid.jpg",
        ]
        for k in range(2)
    ]
    captions += [
        b"good0.jpg#2\t", b"good1.jpg#2\tcaf\xe9 at night", b"good2.jpg#0\tThe same id again .",
        b"no tab in this line", b"good3.jpg#2\t...", b"badtext.jpg#0\t\xff\xfe",
    ]  # fmt: skip
    trained = [*good, *odd, *bad, "nocaption.jpg", "absent.jpg", "leak.jpg", "twice.jpg",
               "twice.jpg", "badtext.jpg"]  # fmt: skip
    write_flickr8k(
        tmp_path / "in", {**good, **odd, **bad, **others}, captions,
        train=trained, dev=["leak.jpg", "valid.jpg"],
    )  # fmt: skip
    manifest = run(tmp_path / "in", tmp_path / "out", min_count=1, max_rejected=0.9)

    rows = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    stages = {}
    for row in rows:
        stages.setdefault(row["stage"], {})[row["id"].split(":")[-1]] = row["message"]
    assert stages["read"].keys() == {"empty.jpg"}
    assert stages["decode"].keys() == {"truncated.jpg", "bomb.png", "text.jpg"}
    assert "100000000 pixels" in stages["decode"]["bomb.png"]
    assert stages["join"].keys() == {"nocaption.jpg", "absent.jpg", "badtext.jpg"}
    assert stages["split"].keys() == {"unlisted.jpg", "leak.jpg"}
    assert "train, validation" in stages["split"]["leak.jpg"]
    assert stages["duplicate"].keys() == {"twice.jpg"}
    line = str(captions.index(b"no tab in this line") + 1)
    assert stages["caption"].keys() == {
        "good0.jpg#2", "good1.jpg#2", "good2.jpg#0", line, "good3.jpg#2", "badtext.jpg#0",
    }  # fmt: skip
    assert not any("{{" in row["message"] or "\n" in row["message"] for row in rows)

    counts = manifest.image_counts
    assert (counts["train"].read, counts["train"].written) == (21, 12)
    assert (counts["train"].rejected, counts["train"].duplicates) == (8, 1)  # with leak.jpg
    assert (counts["unassigned"].read, counts["unassigned"].rejected) == (1, 1)
    assert manifest.captions_rejected == 6
    written = {
        record["image_id"].decode()
        for record in tfds.builder_from_directory(tmp_path / "out")
        .as_dataset(split="train")
        .as_numpy_iterator()
    }
    assert written == {*good, *odd, "twice.jpg"}


def test_too_many_rejects_fail_the_job_after_the_table_and_a_higher_limit_continues(
    pictures, tmp_path
):
    with pytest.raises(InputError, match=r"3 of 120 images were rejected.*--max_rejected=0.01"):
        run(pictures, tmp_path / "out", max_rejected=0.01)
    assert len(rejected(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("captions-*")}
    run(pictures, tmp_path / "out", max_rejected=0.03)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("captions-*")}


def test_text_alone_reads_no_image(pictures, dataset, tmp_path):
    source, out = copy_source(pictures, tmp_path / "in"), tmp_path / "out"
    for path in (source / "images").iterdir():
        path.write_bytes(b"not an image")
    manifest = run(source, out, features="none")
    assert manifest.encoder is None and not (out / "image_encoder").exists()
    assert manifest.images("train") == 96 and not rejected(out)
    assert contents(out)["vocabulary.txt"] == contents(dataset)["vocabulary.txt"]
    [record] = tfds.builder_from_directory(out).as_dataset(split="test[:1]")
    assert record.keys() == {"image_id", "image_uri", "captions", "caption_ids"}


def test_a_given_vocabulary_is_used_and_what_it_lacks_is_counted(pictures, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a\nred\n")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"words\.txt: the vocabulary lacks .* --max_unknown=0.2"):
        run(pictures, out, vocabulary=str(words), features="none")
    run(pictures, out, vocabulary=str(words), features="none", max_unknown=1.0)
    vocabulary = (out / "vocabulary.txt").read_text()
    assert vocabulary == "<pad>\n<unk>\n<start>\n<end>\na\nred\n"
    report = json.loads((out / "report.json").read_text())
    assert 0.5 < report["text"]["train"]["out_of_vocabulary_rate"] < 1
    assert report["text"]["train"]["coverage"] < 0.1
    with pytest.raises(InputError, match="vocabulary_sha256 was"):
        words.write_text("a\n")
        run(pictures, out, vocabulary=str(words), features="none")


def test_long_captions_are_cut_and_counted(pictures, tmp_path):
    out = tmp_path / "out"
    manifest = run(pictures, out, max_length=4, features="none")
    report = json.loads((out / "report.json").read_text())
    assert report["text"]["train"]["truncated_captions"] == 480
    assert report["text"]["train"]["words"] == 4 * 480
    [record] = tfds.builder_from_directory(out).as_dataset(split="test[:1]")
    assert set(record["caption_ids"].row_lengths().numpy()) == {6}
    assert len(record["captions"][0].numpy().split()) > 5
    assert manifest.config["max_length"] == 4


def test_fractions_that_are_given_replace_the_splits_of_the_source(pictures, tmp_path):
    manifest = run(pictures, tmp_path / "out", split_fractions=(0.5, 0.25, 0.25), features="none")
    images = {split: manifest.images(split) for split in manifest.splits}
    assert sum(images.values()) == 120
    assert 40 <= images["train"] <= 80 and images["validation"] > 15 and images["test"] > 15


def test_a_part_that_cannot_be_read_on_fails_the_job_before_long_work(tmp_path):
    rows = "image,caption\n" + "".join(f"a{i}.jpg,A dog .\n" for i in range(9))
    (tmp_path / "good.csv").write_text(rows)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"--input: .*rows\.parquet"):
        run(tmp_path / "rows.parquet", tmp_path / "out", source="table", features="none")


def test_shards_of_another_count_are_refused(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    (out / "manifest.json").unlink()
    (out / "captions-train.tfrecord-00000-of-00099").write_bytes(b"")
    with pytest.raises(InputError, match="00000-of-00099, which does not belong"):
        run(pictures, out)


def test_without_split_files_images_are_split_by_hash(tmp_path):
    directory = tmp_path / "in"
    (directory / "Images").mkdir(parents=True)
    names = [f"image{i}.jpg" for i in range(60)]
    for i, name in enumerate(names):
        (directory / "Images" / name).write_bytes(jpeg((i * 4, 0, 0)))
    rows = [f'{name},"A ""red"" square, number {k} ."' for name in names for k in range(2)]
    (directory / "captions.txt").write_text("\n".join(["image,caption", *rows]) + "\n")
    manifest = run(directory, tmp_path / "out", split_fractions=(0.5, 0.25, 0.25))
    images = {split: manifest.images(split) for split in manifest.splits}
    assert sum(images.values()) == 60
    assert 20 <= images["train"] <= 40 and images["validation"] >= 5 and images["test"] >= 5
    [record] = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="test[:1]")
    assert record["captions"].numpy()[0].decode() == 'A "red" square, number 0 .'


@pytest.mark.slow
def test_a_dataset_of_images_holds_them_as_jpegs_of_one_size(pictures, tmp_path):
    out = tmp_path / "out"
    manifest = run(pictures, out, features="image", image_size=48, resize="crop")
    assert (manifest.encoder.feature_shape, manifest.feature_dtype) == ((48, 48, 3), "uint8")
    assert verify_dataset(out) == []
    [record] = tfds.builder_from_directory(out).as_dataset(split="test[:1]")
    photograph = tf.io.decode_jpeg(tf.io.read_file(record["image_uri"]))
    side = min(photograph.shape[:2])
    middle = tf.image.resize_with_crop_or_pad(photograph, side, side)
    expected = tf.image.resize(middle, (48, 48), antialias=True)
    difference = tf.abs(tf.cast(record["image"], tf.float32) - expected)
    assert tf.reduce_mean(difference) < 4
    model = keras.models.load_model(out / "image_encoder.keras")  # for the trainer to train
    assert model.input_shape == (None, 48, 48, 3)
    assert manifest.has_images() and manifest.feature_shape() == (48, 48, 3)


@pytest.mark.slow
def test_a_network_in_bfloat16_writes_features_close_to_those_in_float32(pictures, tmp_path):
    found = {}
    for precision in ("float32", "bfloat16"):
        out = str(tmp_path / precision)
        run(pictures, out, precision=precision, features="pooled", feature_dtype="float32")
        data = tfds.builder_from_directory(out).as_dataset(split="train")
        found[precision] = {r["image_id"].numpy(): r["image_features"].numpy() for r in data}
    assert found["float32"].keys() == found["bfloat16"].keys()
    for name, features in found["float32"].items():
        other = found["bfloat16"][name]
        assert not np.array_equal(features, other)
        assert features @ other > 0.999 * np.linalg.norm(features) * np.linalg.norm(other)


def test_the_users_own_model_encodes(pictures, tmp_path):
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.AveragePooling2D(8)(image)).save(tmp_path / "own.keras")
    manifest = run(pictures, tmp_path / "out", encoder=str(tmp_path / "own.keras"))
    assert manifest.encoder.name == "own"
    assert manifest.encoder.feature_shape == (4, 4, 3)
    assert manifest.config["encoder_sha256"]


def test_pooled_features_are_one_vector_an_image(pictures, tmp_path):
    manifest = run(pictures, tmp_path / "out", features="pooled", feature_dtype="float32")
    assert len(manifest.encoder.feature_shape) == 1
    [record] = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="test[:1]")
    assert record["image_features"].shape == manifest.encoder.feature_shape
    assert record["image_features"].dtype == tf.float32


def test_shards_that_no_image_falls_into_are_empty_files(pictures, tmp_path):
    manifest = run(pictures, tmp_path / "out", images_per_shard=1)
    shards = manifest.splits["train"]
    assert 0 in {shard.images for shard in shards}
    assert manifest.images("train") == 95
    check_dataset(str(tmp_path / "out"), manifest)
    for shard in shards:
        content = (tmp_path / "out" / shard.file).read_bytes()
        assert shard.sha256 == hashlib.sha256(content).hexdigest()
    found = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="train")
    assert len(list(found)) == 95


@pytest.mark.slow
def test_several_processes_write_the_same_dataset(pictures, dataset, tmp_path):
    command = [
        sys.executable, "-m", "pipeline", f"--input={pictures}", f"--output={tmp_path / 'out'}",
        "--encoder=tiny", "--images_per_shard=24", "--min_count=2", "--max_rejected=0.05",
        "--direct_running_mode=multi_processing", "--direct_num_workers=2",
    ]  # fmt: skip
    # As a user has it: these tests let TensorFlow log more.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert_same(tmp_path / "out", dataset)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines and all("images to shards" in line for line in lines)  # and no worker's log


def test_the_report_has_counts_lengths_and_times(dataset):
    with open(os.path.join(dataset, "report.json")) as file:
        report = json.load(file)
    assert report["images"]["train"] == 96
    assert sum(n for split, _, n in report["captions_by_length"] if split == "train") == 480
    assert report["text"]["train"]["captions"] == 475  # without those of the damaged image
    assert report["text"]["train"]["out_of_vocabulary_rate"] == 0  # no drawn word is that rare
    assert report["text"]["train"]["coverage"] == 1
    assert report["images_per_second"] > 0
    assert report["seconds_in_stage"].keys() == {"read", "decode", "encode", "write"}
