"""Images to features on several threads, and what a bad image costs."""

import io
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_configs import pipeline_config

from pipeline.accounting.rejects import DECODE, READ
from pipeline.encoder.encoder_model import build_model
from pipeline.encoder.image_encoder import write_image_encoder
from pipeline.shards.encode_images import (
    BATCH,
    READ_AT_ONCE,
    READERS,
    Machine,
    encode_images,
    encode_or_halve,
    map_ahead,
)
from pipeline.text.join_captions import CaptionedImage

CORES = 3

# --- a batch that fails


class Encode:
    """Ten times each element; fails where one of `poisoned` is among them."""

    def __init__(self, poisoned, error=ValueError):
        self.poisoned, self.error, self.calls = poisoned, error, 0

    def __call__(self, batch):
        self.calls += 1
        if bad := sorted(self.poisoned & set(batch)):
            raise self.error(f"cannot encode {bad}")
        return [10 * element for element in batch]


@settings(max_examples=300)
@given(st.integers(1, 100), st.data())
def test_each_poisoned_element_fails_alone_and_soon(size, data):
    poisoned = data.draw(st.sets(st.integers(0, size - 1)))
    encode = Encode(poisoned)
    for element, result in enumerate(encode_or_halve(encode, range(size))):
        if element in poisoned:
            assert isinstance(result, ValueError)
            assert str(result) == f"cannot encode [{element}]"
        else:
            assert result == 10 * element
    assert encode.calls <= 1 + 2 * len(poisoned) * math.ceil(math.log2(size))


@pytest.mark.parametrize("size", [1, 2, 31, 32])
def test_encode_or_halve_gives_a_result_for_every_element(size):
    assert encode_or_halve(Encode(set()), range(size)) == [10 * n for n in range(size)]
    assert len(encode_or_halve(Encode(set(range(size))), range(size))) == size


def test_what_tensorflow_raises_costs_one_element():
    def out_of_memory(message):
        return tf.errors.ResourceExhaustedError(None, None, message)

    results = encode_or_halve(Encode({1}, out_of_memory), range(3))
    assert results[::2] == [0, 20]
    assert isinstance(results[1], tf.errors.ResourceExhaustedError)


def test_a_defect_is_not_taken_for_a_bad_image():
    with pytest.raises(TypeError):
        encode_or_halve(Encode({1}, TypeError), range(3))


@given(st.lists(st.integers()), st.integers(1, 5))
def test_results_come_in_order_and_few_are_under_way(items, ahead):
    taken = 0

    def count():
        nonlocal taken
        for item in items:
            taken += 1
            yield item

    with ThreadPoolExecutor(2) as threads:
        results = map_ahead(threads, str, count(), ahead)
        for number, (item, result) in enumerate(zip(items, results, strict=True)):
            assert result == str(item)
            assert taken <= number + ahead


# --- images


class Slow:
    """An encoder of files that hold a number; some take longer, and it counts who is at work."""

    def __init__(self):
        self.lock, self.at_work, self.most_at_work = threading.Lock(), 0, 0

    def decode_images(self, contents):
        if any(content == b"damaged" for content in contents.numpy()):
            raise tf.errors.InvalidArgumentError(None, None, "one of these")
        return tf.strings.to_number(contents)[:, tf.newaxis, tf.newaxis, tf.newaxis]

    def decode_image(self, content):
        if content.numpy() == b"damaged":
            raise tf.errors.InvalidArgumentError(None, None, "damaged")
        return self.decode_images(content[tf.newaxis])[0]

    def encode(self, images):
        with self.lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        time.sleep(0.02 if images[0, 0, 0, 0] % 3 == 0 else 0.01)
        with self.lock:
            self.at_work -= 1
        return images[:, 0, 0, :]


@pytest.fixture
def machine():
    with ThreadPoolExecutor(CORES) as cores, ThreadPoolExecutor(READERS) as readers:
        yield Machine(
            Slow(), BATCH, cores, CORES, readers, threading.Semaphore(CORES), threading.Lock()
        )


@pytest.fixture
def numbered(tmp_path):
    """Files of numbers; of what is no number its own content, and no file for None."""

    def write(contents):
        images = []
        for number, content in enumerate(contents):
            path = tmp_path / str(number)
            if content is not None:
                path.write_text(str(content))
            images.append(CaptionedImage(str(number), f"uri/{number}", str(path), "train", ["a"]))
        return images

    return write


def features_of(batches):
    return {image.image_id: values for batch in batches for image, values in batch.images}


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 20 * BATCH + 3])
def test_every_image_has_its_own_features_in_order(machine, numbered, count):
    found = features_of(encode_images(machine, numbered(range(count)), "float16"))
    assert list(found) == [str(n) for n in range(count)]
    assert all(values.dtype == np.float16 and values == int(name) for name, values in found.items())


def test_as_many_batches_are_encoded_at_once_as_there_are_cores(machine, numbered):
    list(encode_images(machine, numbered(range(20 * BATCH)), "float32"))
    assert machine.encoder.most_at_work == CORES


def test_a_device_takes_as_many_batches_at_once_as_it_is_allowed(machine, numbered):
    machine = machine._replace(devices=threading.Semaphore(1))
    list(encode_images(machine, numbered(range(10 * BATCH)), "float32"))
    assert machine.encoder.most_at_work == 1


def test_the_next_call_begins_when_the_last_batch_of_the_one_before_is_under_way(machine, numbered):
    first, second = (encode_images(machine, numbered(range(n)), "float32") for n in (50, 20))
    with ThreadPoolExecutor(1) as threads:
        before = [next(first)]
        waiting = threads.submit(list, second)
        time.sleep(0.2)
        assert not waiting.done()
        before += first
        assert len(features_of(waiting.result())) == 20
    assert len(features_of(before)) == 50


@pytest.mark.parametrize("stop", ["closed", "failed"])
def test_a_call_that_stops_early_lets_the_next_one_begin(machine, numbered, stop):
    images = numbered(range(20 * BATCH))
    if stop == "closed":
        call = encode_images(machine, images, "float32")
        next(call)
        call.close()
    else:
        failing = machine._replace(encoder=None)
        with pytest.raises(AttributeError) as kept:  # and with it the frames of the call
            list(encode_images(failing, images, "float32"))
        assert kept.tb
    assert len(features_of(encode_images(machine, images, "float32"))) == 20 * BATCH


def test_bad_images_cost_only_themselves_and_the_reason_is_told(machine, numbered):
    contents = [n if n % 7 else "damaged" for n in range(3 * BATCH)]
    contents[5], contents[9] = None, ""
    batches = list(encode_images(machine, numbered(contents), "float32"))
    found = features_of(batches)
    assert list(found) == [str(n) for n, content in enumerate(contents) if content == n]
    assert all(values == int(name) for name, values in found.items())
    rows = {row.id: (row.stage, row.message) for batch in batches for row in batch.rejects}
    assert rows.keys() | found.keys() == {str(n) for n in range(len(contents))}
    assert rows["0"] == (DECODE, "damaged")
    assert rows["5"][0] == rows["9"][0] == READ
    assert rows["9"][1] == "the file is empty"


def test_what_is_under_way_does_not_grow_with_the_number_of_images(machine, numbered):
    images = numbered(range(60 * BATCH))
    asked = 0

    def ask():
        nonlocal asked
        for image in images:
            asked += 1
            yield image

    most = 0
    for number, _ in enumerate(encode_images(machine, ask(), "float32")):
        most = max(most, asked - number * BATCH)
    assert most <= (CORES + 3) * BATCH + READERS * READ_AT_ONCE


def test_the_time_of_each_stage_is_told(machine, numbered):
    for batch in encode_images(machine, numbered(range(BATCH)), "float32"):
        assert batch.seconds.keys() == {"read", "decode", "encode"}
        assert batch.seconds["encode"] >= 0.02


MAIN = """
import sys
from pipeline.shards.encode_images import encode_images, start_machine
from pipeline.text.join_captions import CaptionedImage
import tensorflow as tf
machine = start_machine(sys.argv[1], 3, "one")
assert start_machine(sys.argv[1], 3, "one") is machine
assert start_machine(sys.argv[1], 3, "another").encoder is not machine.encoder
threading = tf.config.threading
assert threading.get_intra_op_parallelism_threads() == 1
assert threading.get_inter_op_parallelism_threads() == 3
image = CaptionedImage("a", "a", sys.argv[2], "train", ["a"])
[batch] = encode_images(machine, [image] * 3, "float16")
for _, features in batch.images:
    print(features.shape, features.dtype)
"""


def test_a_process_computes_one_batch_a_core(tmp_path):
    config = pipeline_config("unused", tmp_path)
    write_image_encoder(build_model(config), config)
    file = io.BytesIO()
    Image.new("RGB", (50, 60), "red").save(file, "JPEG")
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    arguments = [str(tmp_path / "image_encoder"), str(tmp_path / "a.jpg")]
    output = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines() == ["(8, 8, 128) float16"] * 3
