"""Images to features: read, decode and encode, each stage ahead of the next.

A core works on one batch at a time, with one thread: it decodes the batch, then runs the CNN over
it. So the cores need not wait for each other within an operation, as they do when all of them
share one, decoding overlaps with encoding by itself, and nothing competes for a core. Files are
read ahead on threads of their own, which mostly wait. A GPU takes larger batches, which the cores
decode for it. Memory is bounded by the batches under way.

A batch that cannot be decoded or encoded is taken apart, so that a bad image costs only itself.
"""

import collections
import functools
import gc
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from pipeline.accounting.rejects import DECODE, ENCODE, READ, Reject, reject
from pipeline.engines.worker_threads import set_up_tensorflow
from pipeline.images.decode_error import explain
from pipeline.sources.files import content_digest, read_image_bytes
from pipeline.text.join_captions import CaptionedImage

BATCH = 8  # images on a core: fewer are slower, more stay less in its cache
GPU_BATCH = 64
READERS = 16  # threads; a file of an object store takes 50 ms and more
READ_AT_ONCE = 4  # files of one reader: on a local disk handing them over costs more than reading

_STARTING = threading.Lock()  # an engine may start several DoFns of a process at once

Features = np.ndarray | bytes  # bytes: a JPEG file
T = TypeVar("T")
R = TypeVar("R")


class File(NamedTuple):
    """What was read of an image."""

    image: CaptionedImage
    content: bytes | Exception
    digest: str  # of the content
    seconds: float


class Encoded(NamedTuple):
    """What became of a batch."""

    images: list[tuple[CaptionedImage, Features | None]]  # None: of a dataset of text
    rejects: list[Reject]
    seconds: dict[str, float]  # stage -> time in it
    digests: list[str]  # of the files of `images`


class Machine(NamedTuple):
    """What a process encodes with; one for all DoFns that run in it."""

    encoder: Any  # the SavedModel
    batch: int
    cores: ThreadPoolExecutor
    core_count: int
    readers: ThreadPoolExecutor
    devices: threading.Semaphore  # who may encode at once
    turn: threading.Lock  # of the shard whose batches go to the cores


def start_machine(encoder_path: str, cores: int, fingerprint: str) -> Machine:
    """Loads the encoder and starts the threads of this process, once for all who ask.

    Args:
      encoder_path: of the dataset's SavedModel.
      cores: how many to use.
      fingerprint: tells encoders apart that were at one path.
    """
    with _STARTING:
        return _start_machine(encoder_path, cores, fingerprint)


@functools.lru_cache(maxsize=1)
def _start_machine(encoder_path: str, cores: int, fingerprint: str) -> Machine:
    set_up_tensorflow(cores)
    gc.collect()  # the launcher is a worker too on a local engine: the Keras model is in its cycles
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return Machine(
        encoder=tf.saved_model.load(encoder_path),
        batch=GPU_BATCH if has_gpu else BATCH,
        cores=ThreadPoolExecutor(cores, "core"),
        core_count=cores,
        readers=ThreadPoolExecutor(READERS, "reader"),
        # On a GPU one batch is computed while the next one's copy is under way.
        devices=threading.Semaphore(2 if has_gpu else cores),
        turn=threading.Lock(),
    )


def encode_images(
    machine: Machine, images: Iterable[CaptionedImage], dtype: str
) -> Generator[Encoded, None, None]:
    """The features of images, in their order, a batch at a time.

    Of several calls at once the next one begins when the last batch of the one before is under
    way. A caller that stops early must close the generator, or the next one waits for ever.

    Args:
      machine: to use.
      images: whose files are read.
      dtype: of the features.
    """
    parts = map_ahead(machine.readers, _read, _batched(images, READ_AT_ONCE), READERS)
    batches = _batched(itertools.chain.from_iterable(parts), machine.batch)
    encode = functools.partial(_encode, machine, dtype)
    with closing(_hold(machine.turn, batches)) as in_turn:
        yield from map_ahead(machine.cores, encode, in_turn, machine.core_count + 1)


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


def _hold(lock: threading.Lock, items: Iterable[T]) -> Generator[T, None, None]:
    with lock:
        yield from items


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _read(images: list[CaptionedImage]) -> list[File]:
    files = []
    for image in images:
        start = time.perf_counter()
        content: bytes | Exception
        digest = ""
        try:
            content = read_image_bytes(image.location)
            if not content:
                raise ValueError("the file is empty")
            digest = content_digest(content)
        except (OSError, ValueError, tf.errors.OpError) as error:
            content = error
        files.append(File(image, content, digest, time.perf_counter() - start))
    return files


def _encode(machine: Machine, dtype: str, files: list[File]) -> Encoded:
    encoded = Encoded([], [], {READ: sum(file.seconds for file in files)}, [])
    digests = {file.image.image_id: file.digest for file in files}

    def keep_good(
        stage: str, images: Sequence[CaptionedImage], results: Sequence[Any]
    ) -> tuple[list[CaptionedImage], list[Any]]:
        kept = []
        for image, result in zip(images, results, strict=True):
            if isinstance(result, Exception):
                row = reject(image.image_id, image.uri, image.split, stage, result)
                encoded.rejects.append(row)
            else:
                kept.append((image, result))
        return [image for image, _ in kept], [result for _, result in kept]

    images, contents = keep_good(
        READ, [file.image for file in files], [file.content for file in files]
    )
    start = time.perf_counter()
    pixels, damaged = _decode_batch(machine.encoder, contents)
    images, _ = keep_good(DECODE, images, damaged)
    encoded.seconds[DECODE] = time.perf_counter() - start
    if images:
        with machine.devices:
            start = time.perf_counter()
            encode = functools.partial(_encode_batch, machine, dtype, pixels)
            images, features = keep_good(
                ENCODE, images, encode_or_halve(encode, range(len(images)))
            )
            encoded.seconds[ENCODE] = time.perf_counter() - start
        encoded.images.extend(zip(images, features, strict=True))
        encoded.digests.extend(digests[image.image_id] for image in images)
    return encoded


def _decode_batch(encoder: Any, contents: list[bytes]) -> tuple[tf.Tensor, list[Exception | None]]:
    """Pixels of those that can be decoded, and for each of all why it cannot be."""
    try:
        return encoder.decode_images(tf.constant(contents, tf.string)), [None] * len(contents)
    except tf.errors.OpError:
        pass  # at least one of them
    pixels: list[tf.Tensor] = []
    damaged: list[Exception | None] = []
    for content in contents:
        try:
            pixels.append(encoder.decode_image(tf.constant(content)))
            damaged.append(None)
        except tf.errors.OpError as error:
            damaged.append(explain(content, error))
    return tf.stack(pixels) if pixels else tf.zeros([0]), damaged


def _encode_batch(
    machine: Machine, dtype: str, pixels: tf.Tensor, numbers: range
) -> list[Features | Exception]:
    """Features of the images of these numbers in a batch, or why they cannot be kept."""
    images = pixels[numbers.start : numbers.stop] if len(numbers) < len(pixels) else pixels
    # All batches have one size, so that nothing is traced or planned anew for the last one.
    if missing := machine.batch - len(numbers):
        images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
    features = machine.encoder.encode(images)[: len(numbers)]
    if features.dtype == tf.string:
        return list(features.numpy())
    largest = tf.reduce_max(tf.abs(features), range(1, features.shape.rank)).numpy()
    error = ValueError(f"features are not finite in {dtype}")
    values = tf.cast(features, dtype).numpy()
    # Also false where it is not a number.
    is_finite = largest <= np.finfo(dtype).max
    return [value if good else error for value, good in zip(values, is_finite, strict=True)]
