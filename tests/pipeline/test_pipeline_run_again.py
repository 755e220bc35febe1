"""The pipeline on a directory that has a dataset, or a part of one: resume, retry, refusals."""

import os
import shutil
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import pytest
import tensorflow_datasets as tfds
from dataset_files import assert_same, contents, rejected
from drawn_sources import copy_source, jpeg, write_flickr8k
from small_pipeline import run

from pipeline import build
from pipeline.verify.verify_dataset import verify_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.vocabulary import read_vocabulary

pytestmark = pytest.mark.usefixtures("copied_encoders")


def test_running_again_says_that_it_is_complete(pictures, dataset, capsys):
    before = os.stat(os.path.join(dataset, "manifest.json")).st_mtime_ns
    run(pictures, dataset)
    assert "already complete" in capsys.readouterr().out
    assert os.stat(os.path.join(dataset, "manifest.json")).st_mtime_ns == before


def test_another_configuration_on_the_same_directory_is_refused_and_named(pictures, dataset):
    with pytest.raises(InputError, match=r"min_count was 2 and is 3"):
        run(pictures, dataset, min_count=3)
    with pytest.raises(InputError, match=r"features was 'grid' and is 'pooled'"):
        run(pictures, dataset, features="pooled")


def test_a_directory_of_other_things_is_refused(pictures, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not empty and holds no beamcap dataset"):
        run(pictures, tmp_path)


def test_missing_and_damaged_shards_are_made_again_and_nothing_else(pictures, dataset, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    assert contents(out) == contents(dataset)
    shards = sorted(out.glob("captions-train*"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-100])
    (out / "receipts" / f"{shards[2].name}.json").unlink()
    (out / "manifest.json").unlink()
    (out / f"{shards[3].name}.incomplete-0badcafe").write_bytes(b"half")
    kept = {p: p.stat().st_mtime_ns for p in shards[3:]}
    run(pictures, out)
    assert contents(out) == contents(dataset)
    assert kept == {p: p.stat().st_mtime_ns for p in shards[3:]}
    assert not list(out.glob("*incomplete*"))


@pytest.mark.slow
def test_changed_captions_make_their_shards_again(pictures, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    os.symlink(os.path.join(pictures, "images"), source / "images")
    for name in os.listdir(pictures):
        if name.endswith(".txt"):
            with open(os.path.join(pictures, name)) as file:
                (source / name).write_text(file.read())
    out = tmp_path / "out"
    run(source, out)
    (out / "manifest.json").unlink()
    tokens = source / "Flickr8k.token.txt"
    text = tokens.read_text().split("\n")
    image, caption = text[0].split("\t")
    text[0] = f"{image}\tChanged {caption}"
    tokens.write_text("\n".join(text))
    run(source, out)
    [record] = [
        record
        for split in ("train", "validation", "test")
        for record in tfds.builder_from_directory(out).as_dataset(split=split).as_numpy_iterator()
        if record["image_id"].decode() == image.split("#")[0]
    ]
    assert record["captions"][0].decode() == f"Changed {caption}"


def modified(directory):
    return {path.name: path.stat().st_mtime_ns for path in directory.glob("captions-*")}


def test_retry_makes_only_the_shards_with_rejected_images_again(pictures, dataset, tmp_path):
    source, out = copy_source(pictures, tmp_path / "in"), tmp_path / "out"
    run(source, out)
    before, damaged = modified(out), rejected(out)
    with open(out / "vocabulary.txt") as file:
        vocabulary = file.read()
    for row in damaged.values():
        shutil.copy(source / "images" / "drawn_00000.jpg", row["uri"])
    manifest = run(source, out, retry_rejected=True)
    assert manifest.images("train") == 96 and not rejected(out)
    assert manifest.image_counts["train"].rejected == 0
    after = modified(out)
    changed = {name for name in before if before[name] != after[name]}
    assert len(changed) == 3 < len(before) == len(after)
    assert (out / "vocabulary.txt").read_text() == vocabulary
    run(source, tmp_path / "anew")
    assert_same(out, tmp_path / "anew")


def test_retry_of_what_is_still_damaged_rejects_it_again(pictures, dataset, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    run(pictures, out, retry_rejected=True)
    assert rejected(out) == rejected(dataset)
    assert contents(out) == contents(dataset)


def test_retry_takes_in_an_image_that_was_missing_and_keeps_vocabulary_and_shards(tmp_path):
    images = {f"a{i:02d}.jpg": jpeg((i * 9, 0, 0)) for i in range(24)}
    captions = [f"{name}#0\tA red picture .".encode() for name in images]
    captions.append(b"late.jpg#0\tAn overdue photograph .")
    source, out = tmp_path / "in", tmp_path / "out"
    write_flickr8k(source, images, captions, train=[*images, "late.jpg"])
    run(source, out, images_per_shard=8, min_count=1)
    assert rejected(out)["late.jpg"]["stage"] == "join"
    before = modified(out)
    (source / "images" / "late.jpg").write_bytes(jpeg((0, 0, 9)))
    manifest = run(source, out, images_per_shard=8, min_count=1, retry_rejected=True)
    assert manifest.images("train") == 25 and len(manifest.splits["train"]) == 3
    assert sum(before[name] != time for name, time in modified(out).items()) == 1
    assert "overdue" not in read_vocabulary(str(out / "vocabulary.txt")).tokens
    with pytest.raises(InputError, match="source has changed"):
        (out / "manifest.json").unlink()  # without the flag it is another dataset: 4 shards
        run(source, out, images_per_shard=8, min_count=1)


def test_a_retry_whose_source_is_refused_leaves_the_dataset_as_it_was(pictures, tmp_path):
    source, out = copy_source(pictures, tmp_path / "in"), tmp_path / "out"
    run(source, out, features="none")
    before = (contents(out), rejected(out))
    for path in source.glob("Flickr_8k.*Images.txt"):
        path.write_text("of no picture.jpg\n")
    with pytest.raises(InputError, match="not one training image"):
        run(source, out, features="none", retry_rejected=True)
    assert (contents(out), rejected(out)) == before
    assert verify_dataset(out) == []


def test_a_killed_retry_goes_on(pictures, dataset, tmp_path, monkeypatch):
    source, out = copy_source(pictures, tmp_path / "in"), tmp_path / "out"
    run(source, out)
    for row in rejected(out).values():
        shutil.copy(source / "images" / "drawn_00000.jpg", row["uri"])
    interrupt = Mock(side_effect=KeyboardInterrupt)  # background jobs ignore the signal
    with monkeypatch.context() as patch:
        patch.setattr(build, "write_shards", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(source, out, retry_rejected=True)
    with pytest.raises(InputError, match="did not finish"):
        read_manifest(str(out))
    manifest = run(source, out, retry_rejected=True)
    assert manifest.images("train") == 96 and not rejected(out)


@pytest.mark.slow
def test_a_killed_job_goes_on_with_the_missing_shards(pictures, dataset, tmp_path):
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "pipeline", f"--input={pictures}", f"--output={out}",
        "--encoder=tiny", "--images_per_shard=24", "--min_count=2", "--max_rejected=0.05",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if list(out.glob("receipts/captions-*.json")):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    done = {p: p.stat().st_mtime_ns for p in out.glob("receipts/captions-*.json")}
    assert 0 < len(done) < 6
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert_same(out, dataset)
    assert (
        done.items()
        <= {p: p.stat().st_mtime_ns for p in out.glob("receipts/captions-*.json")}.items()
    )
