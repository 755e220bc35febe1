"""Shard names, and the hash that gives an image its shard."""

import collections
import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfrecords_schema.shards import SPLITS, shard_name, shard_of, shard_path, stable_hash

GOLDEN = {  # (text, salt) -> hash; another value here moves every image of every dataset
    ("", ""): 0x6E340B9CFFB37A98,
    ("1000268201_693b08cb0e.jpg", ""): 0x26CF0F82627D0AB7,
    ("1000268201_693b08cb0e.jpg", "shard"): 0xBA446B614AF736A9,
    ("1000268201_693b08cb0e.jpg", "split"): 0x875F3B8B2DD69A2A,
    ("café.jpg", "shard"): 0x8676B59327D27BA3,
    ("犬.png", "split"): 0xA8E68E148044A27F,
}


@pytest.mark.parametrize("text, salt", GOLDEN)
def test_the_hash_of_a_text_and_a_salt_never_changes(text, salt):
    assert stable_hash(text, salt) == GOLDEN[text, salt]


def test_the_shard_of_an_image_never_changes():
    expected = [0, 15, 3, 10, 9, 4, 7, 5, 1, 11, 13, 0]
    assert [shard_of(f"{n:05d}.jpg", 16) for n in range(12)] == expected


@given(st.text(st.characters()), st.text())
@example("\ud800", "")
def test_the_hash_is_an_unsigned_64_bit_integer(text, salt):
    assert 0 <= stable_hash(text, salt) < 2**64


def test_names_that_are_not_utf8_have_hashes_of_their_own():
    names = ["caf\udce9.jpg", "café.jpg", "caf.jpg"]
    assert len({stable_hash(name) for name in names}) == len(names)


def test_salt_and_text_do_not_run_together():
    assert stable_hash("bc", "a") != stable_hash("c", "ab")


def test_shards_do_not_depend_on_the_salt_of_the_process():
    names = [f"{n}.jpg" for n in range(50)]
    code = (
        "import sys; from tfrecords_schema.shards import shard_of; "
        "print(hash('x'), *(shard_of(name, 1000) for name in sys.argv[1:]))"
    )
    salted, shards = set(), []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        output = subprocess.run(
            [sys.executable, "-c", code, *names],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        python_hash, *rest = output.stdout.split()
        salted.add(python_hash)
        shards.append(list(map(int, rest)))
    assert len(salted) == 2  # Python's own hash does change
    assert shards[0] == shards[1] == [shard_of(name, 1000) for name in names]


@pytest.mark.parametrize("pattern", ["{:05d}.jpg", "drawn_{}.png", "{}"])
@pytest.mark.parametrize("shard_count", [2, 10, 16])
def test_images_spread_evenly_over_shards(pattern, shard_count):
    count = 20_000
    sizes = collections.Counter(shard_of(pattern.format(n), shard_count) for n in range(count))
    assert set(sizes) == set(range(shard_count))
    mean = count / shard_count
    assert max(abs(size - mean) for size in sizes.values()) < 5 * mean**0.5


def test_the_images_of_one_split_spread_evenly_over_shards():
    names = [f"{n}.jpg" for n in range(100_000)]
    of_split = [name for name in names if stable_hash(name, "split") < 2**64 // 10]
    sizes = collections.Counter(shard_of(name, 10) for name in of_split)
    mean = len(of_split) / 10
    assert max(abs(sizes[shard] - mean) for shard in range(10)) < 5 * mean**0.5


@given(st.text(), st.integers(1, 10**6))
def test_a_shard_lies_within_the_count(image_id, shard_count):
    assert 0 <= shard_of(image_id, shard_count) < shard_count
    assert shard_of(image_id, 1) == 0


def test_shard_names_are_those_of_tfds():
    assert shard_name("train", 3, 16) == "captions-train.tfrecord-00003-of-00016"
    assert shard_path("/data", "test", 0, 1) == "/data/captions-test.tfrecord-00000-of-00001"


def test_shards_sort_by_split_and_number():
    names = [shard_name("train", n, 12) for n in range(12)]
    assert sorted(names) == names
    assert len({shard_name(split, 0, 1) for split in SPLITS}) == len(SPLITS)
