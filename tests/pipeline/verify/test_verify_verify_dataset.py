"""Verifying a dataset: nothing is wrong with a whole one, and every kind of damage is told."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from small_configs import pipeline_config

from pipeline.run import write_dataset
from pipeline.verify.command import main
from pipeline.verify.verify_dataset import verify_dataset
from tfrecords_schema.features import Record
from tfrecords_schema.manifest import read_manifest, write_manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.serialize import serialize_record


@pytest.fixture
def copy(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "data")
    return tmp_path / "data"


def problems(directory):
    found = verify_dataset(directory, [])
    assert not (directory / "receipts" / "problems.json").exists()
    return found


def shard_of(directory, split="train"):
    return directory / read_manifest(str(directory)).splits[split][0].file


def rewrite(directory, change):
    """Writes the first training shard again with `change(records)`, and tells the manifest."""
    path, manifest = shard_of(directory), read_manifest(str(directory))
    features = manifest.features()
    records = []
    for serialized in tf.data.TFRecordDataset(str(path)):
        fields = parse_record(features, serialized)
        records.append(
            Record(
                fields["image_id"].numpy().decode(),
                fields["image_uri"].numpy().decode(),
                fields["image_features"].numpy(),
                [text.decode() for text in fields["captions"].numpy()],
                fields["caption_ids"].to_list(),
            )
        )
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in change(records):
            writer.write(serialize_record(features, record))
    content = path.read_bytes()
    manifest.splits["train"][0] = dataclasses.replace(
        manifest.splits["train"][0],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_manifest(str(directory), manifest)


def test_nothing_is_wrong_with_a_whole_dataset(dataset, capsys):
    main([dataset])
    assert "6 shards with 117 images are as the manifest says" in capsys.readouterr().out


def test_several_threads_find_the_same_problems_as_one(copy):
    shard_of(copy).unlink()
    flags = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    found = verify_dataset(copy, flags)
    assert found == [f"{shard_of(copy).name} is missing"]


def test_a_dataset_of_text_is_verified_too(pictures, tmp_path):
    config = pipeline_config(pictures, tmp_path / "data", features="none")
    write_dataset(config)
    assert problems(tmp_path / "data") == []


def test_every_flipped_byte_of_a_shard_is_found(copy):
    *flipped, cut = [shard.file for shard in read_manifest(str(copy)).splits["train"]]
    rng = np.random.default_rng(0)
    for name in flipped:
        damaged = bytearray((copy / name).read_bytes())
        damaged[rng.integers(len(damaged))] ^= 4
        (copy / name).write_bytes(bytes(damaged))
    (copy / cut).write_bytes((copy / cut).read_bytes()[:-10])
    found = problems(copy)
    for name in (*flipped, cut):
        assert any(name in problem and "SHA-256" in problem for problem in found)
        # By its CRC.
        assert any(name in problem and "cannot be read" in problem for problem in found)


WRONG = [
    (dict(image_id="no.jpg"), "belongs in shard"),
    (dict(caption_ids=[[2, 9999, 3]] * 5), "caption ids that are no words of the"),
    (dict(caption_ids=[[2, 0, 3]] * 5), "caption ids that are no words of the"),
    (dict(caption_ids=[[5, 6, 3]] * 5), "do not go from <start> to <end>"),
    (dict(caption_ids=[[]] * 5), "do not go from <start> to <end>"),
    (dict(captions=[], caption_ids=[]), "has no captions"),
    (dict(image_features=np.full([8, 8, 128], np.inf, np.float16)), "features that are not finite"),
]


def test_wrong_records_under_a_right_checksum_are_found(copy):
    names = []

    def change(rows):
        wrong = [row._replace(**fields) for row, (fields, _) in zip(rows, WRONG, strict=False)]
        names.extend(row.image_id for row in wrong)
        return [*wrong, *rows[len(WRONG) : -2], rows[-3]]  # two are missing, one is there twice

    rewrite(copy, change)
    found = problems(copy)
    assert len(found) == len(WRONG) + 2, found
    for name, (_, expected) in zip(names, WRONG, strict=True):
        assert any(f"image {name}: " in problem and expected in problem for problem in found)
    assert any("comes 2 times" in problem for problem in found)
    expected = "holds 19 images and 90 captions, the manifest says 20 and 100"
    assert any(expected in problem for problem in found), found


def test_many_problems_of_a_kind_are_counted_not_listed(copy):
    rewrite(copy, lambda rows: [row._replace(caption_ids=[[2, 0, 3]] * 5) for row in rows])
    found = problems(copy)
    assert len(found) == 6
    assert any("15 more images" in problem for problem in found)


def test_damage_beside_the_shards_is_found(copy):
    shutil.copy(shard_of(copy), copy / "captions-train.tfrecord-00000-of-00077")
    (copy / "vocabulary.txt.incomplete-12345678").write_text("half")
    with open(copy / "vocabulary.txt", "a") as file:
        file.write("extra\n")
    (copy / "image_encoder" / "saved_model.pb").write_bytes(b"")
    table = pq.read_table(copy / "rejected.parquet")
    pq.write_table(table.slice(1), copy / "rejected.parquet")
    info = json.loads((copy / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"][0] = "1"
    (copy / "dataset_info.json").write_text(json.dumps(info))
    found = "\n".join(problems(copy))
    for expected in (
        "captions-train.tfrecord-00000-of-00077 is not in the manifest",
        "vocabulary.txt.incomplete-12345678 is an unfinished file",
        "vocabulary.txt has SHA-256",
        "the image encoder cannot be loaded",
        "rejected.parquet has 0 rejected",
        "dataset_info.json has",
    ):
        assert expected in found


def test_missing_files_are_found(copy):
    for name in ("vocabulary.txt", "rejected.parquet", "features.json", "image_encoder.keras"):
        os.unlink(copy / name)
    found = "\n".join(problems(copy))
    for expected in ("vocabulary.txt does not exist", "rejected.parquet is missing",
                     "TFDS cannot read", "image encoder cannot be loaded"):  # fmt: skip
        assert expected in found


def test_images_that_do_not_add_up_are_found(copy):
    manifest = read_manifest(str(copy))
    counts = dict(
        manifest.image_counts, train=dataclasses.replace(manifest.image_counts["train"], read=97)
    )
    write_manifest(
        str(copy), dataclasses.replace(manifest, image_counts=counts, captions_rejected=4)
    )
    found = problems(copy)
    assert len(found) == 2
    assert "the images of train do not add up" in found[0] and "0 captions" in found[1]


def test_the_command_exits_with_1_and_tells_what_is_wrong(copy, capsys):
    shard_of(copy).unlink()
    with pytest.raises(SystemExit) as stopped:
        main([str(copy)])
    assert stopped.value.code == 1
    output = capsys.readouterr().out
    assert f"{shard_of(copy).name} is missing" in output and "1 problems in 6 shards" in output


def test_a_tilde_in_the_path_of_a_dataset_is_the_home_directory(copy, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(copy.parent))
    main(["~/data"])
    assert f"{copy}: 6 shards with 117 images are as the manifest says" in capsys.readouterr().out


def test_a_directory_that_is_no_dataset_is_refused(tmp_path, capsys):
    for arguments in ([str(tmp_path)], [str(tmp_path / "nowhere")], [str(tmp_path), "--bogus"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code != 0
        assert capsys.readouterr().err.startswith("error: ")
