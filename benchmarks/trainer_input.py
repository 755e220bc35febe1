"""What the trainer's input costs: its rate beside plain reading, its share of a step, its memory.

    .venv/bin/python benchmarks/trainer_input.py DATA

`read` is what must be done at least: TensorFlow reads the shards from the page cache and checks
their CRCs, by as many readers as the trainer has. `parsed` are batches of records as they come,
`batches` those of the trainer, shuffled and sorted by length within windows. A step of `attend` on
the trainer's batches takes turns with one on batches that lie in memory. Memory is the peak of a
process that trains a small model for an epoch of DATA repeated 1, 4, 16 and 64 times.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time

from text_rows import peak_mb

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import absl.logging
import numpy as np
import tensorflow as tf

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.manifest import write_manifest
from tfrecords_schema.parse import parse_batch
from trainer.config import TrainConfig
from trainer.data.batches import (
    PARSE_AT_ONCE,
    READ_AT_ONCE,
    READ_THREADS,
    train_dataset,
    without_autotune,
)
from trainer.data.epoch_plan import plan_epoch
from trainer.models.make_model import make_model
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.optimizer import Update, make_optimizer
from trainer.step import make_train_step

ROUNDS, STEPS, BATCH = 7, 24, 32
SMALL = (
    "--model=merge", "--units=8", "--annotation_units=8", "--embedding_units=8",
    "--average_decay=0", "--epochs=1",
)  # fmt: skip


def batches(dataset, epoch):
    context = tf.distribute.InputContext(1, 0, 1)
    plan = plan_epoch(dataset.manifest, BATCH, readers=1, seed=0, epoch=epoch)
    return train_dataset(dataset, plan, context)


def seconds(elements):
    start = time.perf_counter()
    # Counted within TensorFlow: handing each record to Python is not part of reading it.
    elements.reduce(np.int64(0), lambda count, *_: count + 1).numpy()
    return time.perf_counter() - start


def reading(dataset):
    paths, manifest = dataset.shard_paths("train"), dataset.manifest
    megabytes = sum(shard.bytes for shard in manifest.splits["train"]) / 1e6
    files = tf.data.Dataset.from_tensor_slices(paths)
    read = files.interleave(tf.data.TFRecordDataset, READ_AT_ONCE, num_parallel_calls=READ_THREADS)
    features = manifest.features()
    parse = tf.autograph.experimental.do_not_convert(lambda x: parse_batch(features, x))
    parsed = read.batch(BATCH).map(parse, PARSE_AT_ONCE)
    read, parsed = without_autotune(read), without_autotune(parsed)
    seconds(read)
    ratios = {"parsed": [], "batches": []}
    for epoch in range(ROUNDS):
        rates = {
            name: megabytes / seconds(elements)
            for name, elements in (
                ("read", read), ("parsed", parsed), ("batches", batches(dataset, epoch))
            )
        }  # fmt: skip
        print({name: f"{rate:.0f} MB/s" for name, rate in rates.items()}, flush=True)
        for name, values in ratios.items():
            values.append(rates[name] / rates["read"])
    for name, values in ratios.items():
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name} / read: {statistics.median(values):.2f} {spread}")


def share_of_a_step(dataset):
    config = TrainConfig(data=dataset.directory, run="-")
    model, average = make_model(config, dataset), make_model(config, dataset)
    optimizer = make_optimizer(config)
    optimizer.build(model.trainable_variables)
    updates = [Update(optimizer, model.trainable_variables)]
    step = make_train_step(
        make_cross_entropy_step(model, updates, config), model, average, optimizer,
        tf.distribute.get_strategy(), config.average_decay,
    )  # fmt: skip

    def run(source):
        start = time.perf_counter()
        for batch in source:
            batch = {name: batch[name][0] for name in ("image_features", "caption_ids")}
            step(batch, tf.constant(0.0))["loss"].numpy()
        return time.perf_counter() - start

    kept = list(batches(dataset, 0).take(STEPS))
    run(kept)
    shares = []
    for _ in range(ROUNDS):
        # One more than is counted: the first batch waits for the shuffle buffer, once an epoch.
        stream = iter(batches(dataset, 0).take(STEPS))
        in_memory, streamed = run(kept[1:]), (run([next(stream)]), run(stream))[1]
        shares.append(1 - in_memory / streamed)
        print(f"{STEPS - 1} steps: in memory {in_memory:.2f} s, streamed {streamed:.2f} s")
    spread = f"({min(shares):.3f} to {max(shares):.3f})"
    print(f"share of the input: {statistics.median(shares):.3f} {spread}")


def memory(dataset):
    data, manifest = dataset.directory, dataset.manifest
    for times in (1, 4, 16, 64):
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "data")
            os.mkdir(copy)
            for name in os.listdir(data):
                if "-train." not in name:
                    os.symlink(os.path.join(os.path.abspath(data), name), os.path.join(copy, name))
            shards = []
            for i in range(times):
                for shard in manifest.splits["train"]:
                    file = f"{i}-{shard.file}"
                    os.symlink(
                        os.path.join(os.path.abspath(data), shard.file), os.path.join(copy, file)
                    )
                    shards.append(dataclasses.replace(shard, file=file))
            os.remove(os.path.join(copy, "manifest.json"))
            write_manifest(
                copy, dataclasses.replace(manifest, splits={**manifest.splits, "train": shards})
            )
            command = [
                sys.executable, "-m", "trainer", "train", f"--data={copy}",
                f"--run={folder}/run", *SMALL,
            ]  # fmt: skip
            process, peak = (
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
                0.0,
            )
            while process.poll() is None:
                peak = max(peak, peak_mb(process.pid)[1])
                time.sleep(0.25)
            print(f"{times * manifest.images('train'):>9,} images: peak {peak:.0f} MB", flush=True)


def main():
    absl.logging.set_verbosity(absl.logging.ERROR)
    [data] = sys.argv[1:]
    dataset = open_dataset(data)
    reading(dataset)
    share_of_a_step(dataset)
    memory(dataset)


if __name__ == "__main__":
    main()
