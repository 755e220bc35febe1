"""One shard: read, decode, encode, serialize, and commit.

The shard is the unit of work, of retry and of resume. Its file is written under a temporary name
and renamed; then its receipt is written, which says what is in it. A shard with a receipt whose
fingerprint is the same (configuration, vocabulary, encoder and list of images) is not made again.
What a shard holds, and in which order, depends on its list of images alone.

Images are read and decoded one by one on threads, ahead of the encoder: a damaged one costs only
itself, and the CNN need not wait. A batch that the encoder fails on is halved until the image that
it fails on is alone. Memory is bounded by the batches under way.
"""

import collections
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
import numpy as np
import tensorflow as tf

from pipeline.captions import tokenize
from pipeline.join_captions import CaptionedImage
from pipeline.receipts import Receipt, read_receipt, write_receipt
from pipeline.rejects import DECODE, ENCODE, READ, Reject, reject
from pipeline.sources.files import read_image_bytes
from tfrecords_schema import manifest, shards
from tfrecords_schema.atomic_file import complete_or_absent
from tfrecords_schema.features import Record, record_features
from tfrecords_schema.serialize import serialize_record
from tfrecords_schema.vocabulary import UNK, Vocabulary, read_vocabulary

BATCH = 32  # images to the encoder at once
PAD_TO = 8  # the last batch of a shard is padded to a multiple: few shapes, little waste
DECODING_THREADS = 4

T = TypeVar("T")
R = TypeVar("R")


class ShardJob(NamedTuple):
    """What every worker must know."""

    directory: str  # of the dataset
    shard_counts: dict[str, int]  # split -> number of shards
    feature_shape: tuple[int, ...] | None  # None: a dataset of text, no image is read
    feature_dtype: str
    clean: str  # preset of pipeline.captions
    max_length: int  # words of a caption that become ids
    fingerprint: str  # of configuration, vocabulary and encoder
    worker_threads: int  # of TensorFlow in a worker process; 0: one a core


class WriteShard(beam.DoFn):
    """((split, shard), images) -> Rejects of that shard; writes its file and receipt.

    An image is a CaptionedImage as a plain tuple; None stands for no image.
    """

    def __init__(self, job: ShardJob):
        """Nothing is loaded before `setup`, so the DoFn is small to ship."""
        self._job = job

    def setup(self) -> None:
        """Loads what the dataset carries."""
        directory = self._job.directory
        _limit_threads(self._job.worker_threads)
        self._vocabulary = read_vocabulary(os.path.join(directory, manifest.VOCABULARY_FILE))
        self._features = record_features(self._job.feature_shape, self._job.feature_dtype)
        if self._job.feature_shape is not None:
            self._encoder = _load_encoder(os.path.join(directory, manifest.ENCODER_DIRECTORY))
        self._threads = ThreadPoolExecutor(DECODING_THREADS)

    def teardown(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    def process(
        self, element: tuple[tuple[str, int], Iterable[tuple[Any, ...] | None]]
    ) -> Iterator[Reject]:
        """Writes the shard unless it is there already."""
        (split, shard), rows = element
        images = [CaptionedImage(*row) for row in rows if row is not None]
        # Hashing mixes the images: neighbours in the source are not neighbours in the shard.
        images.sort(key=lambda im: (shards.stable_hash(im.image_id), im.image_id))
        name = shards.shard_name(split, shard, self._job.shard_counts[split])
        fingerprint = _fingerprint(self._job, images)
        receipt = read_receipt(self._job.directory, name)
        if receipt is None or receipt.fingerprint != fingerprint:
            receipt = self._write(name, fingerprint, images)
            write_receipt(self._job.directory, receipt)
        for fields in receipt.rejects:
            yield Reject(*fields)

    def _write(self, name: str, fingerprint: str, images: list[CaptionedImage]) -> Receipt:
        path = os.path.join(self._job.directory, name)
        rejects: list[Reject] = []
        seconds = dict.fromkeys(("read", "decode", "encode", "write"), 0.0)
        text: collections.Counter = collections.Counter()
        written = captions = 0
        with complete_or_absent(path) as temporary:
            with tf.io.TFRecordWriter(temporary) as writer:
                for image, features in self._encoded(images, rejects, seconds):
                    start = time.perf_counter()
                    record, counts = to_record(
                        image, features, self._vocabulary, self._job.clean, self._job.max_length
                    )
                    writer.write(serialize_record(self._features, record))
                    seconds["write"] += time.perf_counter() - start
                    text.update(counts)
                    written, captions = written + 1, captions + len(record.captions)
            with tf.io.gfile.GFile(temporary, "rb") as file:
                digest, size = hashlib.sha256(), 0
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        entry = dict(
            file=name, images=written, captions=captions, bytes=size, sha256=digest.hexdigest()
        )
        rows = [list(row) for row in rejects]
        return Receipt(fingerprint, entry, dict(text), rows, seconds, time.time())

    def _encoded(
        self, images: list[CaptionedImage], rejects: list[Reject], seconds: dict[str, float]
    ) -> Iterator[tuple[CaptionedImage, np.ndarray | None]]:
        if self._job.feature_shape is None:
            yield from ((image, None) for image in images)
            return
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
    ) -> Iterator[tuple[CaptionedImage, np.ndarray]]:
        start = time.perf_counter()
        encode = functools.partial(_encode_batch, self._encoder, self._job.feature_dtype)
        values = encode_or_halve(encode, [decoded for _, decoded in batch])
        seconds["encode"] += time.perf_counter() - start
        for (image, _), value in zip(batch, values, strict=True):
            if isinstance(value, Exception):
                rejects.append(reject(image.image_id, image.uri, image.split, ENCODE, value))
            else:
                yield image, value


def encode_or_halve(
    encode: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]
) -> list[R | Exception]:
    """`encode(batch)`; of a batch that fails, the results one by one, an exception where it fails.

    Args:
      encode: gives one result an element; what it gives for one does not depend on the others.
      batch: not empty.
    """
    try:
        return list(encode(batch))
    except (ValueError, tf.errors.OpError) as error:
        if len(batch) == 1:
            return [error]
    half = len(batch) // 2
    return encode_or_halve(encode, batch[:half]) + encode_or_halve(encode, batch[half:])


def to_record(
    image: CaptionedImage,
    features: np.ndarray | None,
    vocabulary: Vocabulary,
    clean: str,
    max_length: int,
) -> tuple[Record, dict[str, int]]:
    """The record of an image whose features are at hand.

    Args:
      image: with at least one caption.
      features: of the image, None in a dataset of text.
      vocabulary: for the ids.
      clean: preset by which captions become words.
      max_length: words of a caption that become ids; the text is kept whole.

    Returns:
      The record, and counts of its text: `words`, `unknown_words` (of those that became ids),
      `truncated_captions`, and `known_captions`, those without an unknown word.
    """
    ids: list[list[int]] = []
    counts: collections.Counter = collections.Counter()
    for caption in image.captions:
        words = tokenize(caption, clean)
        ids.append(vocabulary.ids(words[:max_length]))
        unknown = ids[-1].count(UNK)
        counts["words"] += len(ids[-1]) - 2  # without <start> and <end>
        counts["unknown_words"] += unknown
        counts["truncated_captions"] += len(words) > max_length
        counts["known_captions"] += not unknown
    record = Record(image.image_id, image.uri, features, list(image.captions), ids)
    return record, dict(counts)


def map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """`map(function, items)` in order, with up to `ahead` results under way on `threads`."""
    pending: collections.deque = collections.deque()
    for item in items:
        pending.append(threads.submit(function, item))
        if len(pending) == ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _fingerprint(job: ShardJob, images: list[CaptionedImage]) -> str:
    digest = hashlib.sha256(job.fingerprint.encode())
    for image in images:
        digest.update(json.dumps(image).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _limit_threads(threads: int) -> None:
    if not threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        # TensorFlow runs already: an earlier DoFn of this process has set them, or the worker
        # is the launcher itself, which has the machine to itself.
        return


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
        image_bytes = read_image_bytes(image.location)
        if not image_bytes:
            raise ValueError("the file is empty")
        read = time.perf_counter()
        taken[READ], stage = read - start, DECODE
        decoded = encoder.decode_image(tf.constant(image_bytes))
        taken[DECODE] = time.perf_counter() - read
    except (OSError, ValueError, tf.errors.OpError) as error:
        return image, reject(image.image_id, image.uri, image.split, stage, error), taken
    return image, decoded, taken


def _encode_batch(encoder: Any, dtype: str, decoded: Sequence[tf.Tensor]) -> list[Any]:
    padding = -len(decoded) % PAD_TO
    encoded = encoder.encode(tf.stack([*decoded, *[tf.zeros_like(decoded[0])] * padding]))
    with np.errstate(over="ignore"):  # an overflow is refused here
        values = encoded.numpy().astype(dtype)[: len(decoded)]
    error = ValueError(f"features are not finite in {dtype}")
    return [value if np.isfinite(value).all() else error for value in values]
