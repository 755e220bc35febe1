"""One shard: read, decode, encode, serialize, and commit.

The shard is the unit of work, of retry and of resume. Its file is written under a temporary name
and renamed; then its receipt is written, which says what is in it. A shard with a receipt whose
fingerprint is the same (configuration, vocabulary, encoder and list of images) is not made again.
What a shard holds, and in which order, depends on its list of images alone.

Images are read and decoded one by one on threads, ahead of the encoder: a damaged one costs only
itself, and the CNN need not wait. Memory is bounded by the batches under way.
"""

import functools
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from pipeline.captions import tokenize
from pipeline.join_captions import CaptionedImage
from pipeline.rejects import DECODE, ENCODE, READ, Reject, reject
from tfrecords_schema import manifest, shards
from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text
from tfrecords_schema.features import Record, record_features
from tfrecords_schema.serialize import serialize_record
from tfrecords_schema.vocabulary import Vocabulary, read_vocabulary

BATCH = 32  # images to the encoder at once
PAD_TO = 8  # the last batch of a shard is padded to a multiple: few shapes, little waste
DECODING_THREADS = 4
RECEIPT_DIRECTORY = "receipts"

T = TypeVar("T")
R = TypeVar("R")


class ShardJob(NamedTuple):
    """What every worker must know."""

    directory: str  # of the dataset
    shard_counts: dict[str, int]  # split -> number of shards
    feature_shape: tuple[int, ...]
    feature_dtype: str
    fingerprint: str  # of configuration, vocabulary and encoder


class Receipt(NamedTuple):
    """What a complete shard holds, and what it cost."""

    fingerprint: str
    shard: dict[str, Any]  # the fields of manifest.Shard
    rejects: list[list[str]]  # the fields of Reject
    seconds: dict[str, float]  # stage -> time in it; `read` and `decode` are summed over threads
    time: float  # when it was complete, seconds since 1970


class WriteShard(beam.DoFn):
    """((split, shard), images) -> Rejects of that shard; writes its file and receipt."""

    def __init__(self, job: ShardJob):
        """Nothing is loaded before `setup`, so the DoFn is small to ship."""
        self._job = job

    def setup(self) -> None:
        """Loads what the dataset carries."""
        directory = self._job.directory
        self._encoder = _load_encoder(os.path.join(directory, manifest.ENCODER_DIRECTORY))
        self._vocabulary = read_vocabulary(os.path.join(directory, manifest.VOCABULARY_FILE))
        self._features = record_features(self._job.feature_shape, self._job.feature_dtype)
        self._threads = ThreadPoolExecutor(DECODING_THREADS)

    def teardown(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    def process(
        self, element: tuple[tuple[str, int], Iterable[CaptionedImage]]
    ) -> Iterator[Reject]:
        """Writes the shard unless it is there already."""
        (split, shard), images = element
        # Hashing mixes the images: neighbours in the source are not neighbours in the shard.
        ordered = sorted(images, key=lambda im: (shards.stable_hash(im.image_id), im.image_id))
        name = shards.shard_name(split, shard, self._job.shard_counts[split])
        fingerprint = _fingerprint(self._job, ordered)
        receipt = read_receipt(self._job.directory, name)
        if receipt is None or receipt.fingerprint != fingerprint:
            receipt = self._write(name, fingerprint, ordered)
            write_receipt(self._job.directory, receipt)
        for row in receipt.rejects:
            yield Reject(*row)

    def _write(self, name: str, fingerprint: str, images: list[CaptionedImage]) -> Receipt:
        path = os.path.join(self._job.directory, name)
        rejects: list[Reject] = []
        seconds = dict.fromkeys(("read", "decode", "encode", "write"), 0.0)
        written = captions = 0
        with complete_or_absent(path) as temporary:
            with tf.io.TFRecordWriter(temporary) as writer:
                for record in self._records(images, rejects, seconds):
                    start = time.perf_counter()
                    writer.write(serialize_record(self._features, record))
                    seconds["write"] += time.perf_counter() - start
                    written, captions = written + 1, captions + len(record.captions)
            with tf.io.gfile.GFile(temporary, "rb") as file:
                digest, size = hashlib.sha256(), 0
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        entry = dict(
            file=name, images=written, captions=captions, bytes=size, sha256=digest.hexdigest()
        )
        return Receipt(fingerprint, entry, [list(row) for row in rejects], seconds, time.time())

    def _records(
        self, images: list[CaptionedImage], rejects: list[Reject], seconds: dict[str, float]
    ) -> Iterator[Record]:
        batch: list[tuple[CaptionedImage, tf.Tensor]] = []
        read = functools.partial(_read_and_decode, self._encoder)
        for image, decoded, taken in map_ahead(self._threads, read, images, ahead=2 * BATCH):
            for stage, duration in taken.items():
                seconds[stage] += duration
            if isinstance(decoded, Reject):
                rejects.append(decoded)
                continue
            batch.append((image, decoded))
            if len(batch) == BATCH:
                yield from self._encode(batch, rejects, seconds)
                batch = []
        if batch:
            yield from self._encode(batch, rejects, seconds)

    def _encode(
        self,
        batch: list[tuple[CaptionedImage, tf.Tensor]],
        rejects: list[Reject],
        seconds: dict[str, float],
    ) -> Iterator[Record]:
        start = time.perf_counter()
        decoded = [image for _, image in batch]
        padding = -len(batch) % PAD_TO
        encoded = self._encoder.encode(tf.stack(decoded + [tf.zeros_like(decoded[0])] * padding))
        with np.errstate(over="ignore"):  # an overflow is refused below
            values = encoded.numpy().astype(self._job.feature_dtype)
        seconds["encode"] += time.perf_counter() - start
        for (image, _), value in zip(batch, values, strict=False):
            if np.isfinite(value).all():
                yield to_record(image, value, self._vocabulary)
            else:
                error = ValueError(f"features are not finite in {self._job.feature_dtype}")
                rejects.append(reject(image.image_id, image.uri, image.split, ENCODE, error))


def to_record(image: CaptionedImage, features: np.ndarray, vocabulary: Vocabulary) -> Record:
    """The record of an image whose features are at hand."""
    texts = [caption.text for caption in image.captions]
    ids = [vocabulary.ids(tokenize(text)) for text in texts]
    return Record(image.image_id, image.uri, features, texts, ids)


def map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """`map(function, items)` in order, with up to `ahead` results under way on `threads`."""
    pending: deque = deque()
    for item in items:
        pending.append(threads.submit(function, item))
        if len(pending) == ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def read_receipt(directory: str, shard: str) -> Receipt | None:
    """The receipt of a complete shard, None where the shard is not complete."""
    path = _receipt_path(directory, shard)
    if not tf.io.gfile.exists(path):
        return None
    receipt = Receipt(**json.loads(read_text(path)))
    file = os.path.join(directory, shard)
    if not tf.io.gfile.exists(file) or tf.io.gfile.stat(file).length != receipt.shard["bytes"]:
        return None
    return receipt


def write_receipt(directory: str, receipt: Receipt) -> None:
    """Commits a shard whose file is in place."""
    write_text(_receipt_path(directory, receipt.shard["file"]), json.dumps(receipt._asdict()))


def _receipt_path(directory: str, shard: str) -> str:
    return os.path.join(directory, RECEIPT_DIRECTORY, f"{shard}.json")


def _fingerprint(job: ShardJob, images: list[CaptionedImage]) -> str:
    digest = hashlib.sha256(job.fingerprint.encode())
    for image in images:
        digest.update(json.dumps(image).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)  # once a process, however many DoFns it runs
def _load_encoder(path: str) -> Any:
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    return tf.saved_model.load(path)


def _read_and_decode(
    encoder: Any, image: CaptionedImage
) -> tuple[CaptionedImage, tf.Tensor | Reject, dict[str, float]]:
    stage, start, taken = READ, time.perf_counter(), {}
    try:
        with FileSystems.open(image.uri) as file:
            image_bytes = file.read()
        if not image_bytes:
            raise ValueError("the file is empty")
        read = time.perf_counter()
        taken[READ], stage = read - start, DECODE
        decoded = encoder.decode_image(tf.constant(image_bytes))
        taken[DECODE] = time.perf_counter() - read
    except (OSError, ValueError, tf.errors.OpError) as error:
        return image, reject(image.image_id, image.uri, image.split, stage, error), taken
    return image, decoded, taken
