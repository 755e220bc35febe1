"""Live progress of the shards: the receipts that appear in the dataset, whatever the runner."""

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
LOG_SECONDS = 30  # between two lines where the output is no screen


@contextmanager
def progress_bar(directory: str, images: dict[str, int], shards: dict[str, int]) -> Iterator[None]:
    """Shows images done, images/s, time left, shards done and rejects while the job runs.

    Args:
      directory: of the dataset.
      images: split -> images that the job is to write or reject.
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
            # Where listing takes long, with many shards on a remote disk, it is done less often.
            pause = max(POLL_SECONDS, 20 * (time.monotonic() - before))

    update()
    bar.initial = bar.n  # what an earlier run did counts as done, not as speed
    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        update()
        bar.close()
