"""Progress of the shards while a job runs, from the receipts in the dataset, for any runner."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tqdm import tqdm

from pipeline.accounting.receipts import RECEIPT_DIRECTORY, read_receipt
from tfrecords_schema.shards import shard_name

POLL_SECONDS = 0.5
LOG_SECONDS = 30  # between two lines if the output is no terminal


@contextmanager
def progress_bar(directory: str, images: dict[str, int], shards: dict[str, int]) -> Iterator[None]:
    """Shows images done, images/s, time left, shards done and rejects while the job runs.

    Args:
      directory: the directory of the dataset.
      images: split -> number of images that the job writes or rejects.
      shards: split -> number of shards.
    """
    waiting = {shard_name(split, i, n) for split, n in shards.items() for i in range(n)}
    total, rejected = len(waiting), 0
    ended = threading.Event()
    interval = 0.1 if sys.stderr.isatty() else LOG_SECONDS
    bar = tqdm(
        total=sum(images.values()), unit=" images", desc="images to shards", mininterval=interval
    )

    def update() -> None:
        nonlocal rejected
        receipts = os.path.join(directory, RECEIPT_DIRECTORY)
        names = tf.io.gfile.listdir(receipts) if tf.io.gfile.isdir(receipts) else []
        done = 0
        for name in waiting & {name.removesuffix(".json") for name in names}:
            receipt = read_receipt(directory, name)
            if receipt is not None:
                waiting.remove(name)
                done += receipt.shard["images"] + len(receipt.rejects)
                rejected += len(receipt.rejects)
        text = f"{total - len(waiting)}/{total} shards, {rejected} rejected"
        bar.set_postfix_str(text, refresh=False)
        bar.update(done)

    def poll() -> None:
        pause = POLL_SECONDS
        while not ended.wait(pause):
            before = time.monotonic()
            update()
            # Listing many shards on a remote disk is slow, and is then done less often.
            pause = max(POLL_SECONDS, 20 * (time.monotonic() - before))

    update()
    bar.initial = bar.n  # images of an earlier run are done, but do not count for the speed
    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        update()
        bar.close()
