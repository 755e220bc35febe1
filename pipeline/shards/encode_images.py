"""Computes the features of images: read, decode and encode, in a pipeline of stages.

A core works on one batch at a time, with one thread: it decodes the batch, then runs the CNN on it.
So cores do not wait for each other within an operation, as they would if all of them shared one,
and decoding overlaps with encoding without competing threads. Files are read ahead on separate
threads, which mostly wait. A GPU takes larger batches, which the cores decode. Memory is bounded by
the batches in progress.

If a batch cannot be decoded or encoded, it is split, so that only the bad image is rejected.
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

BATCH = 8  # images on a core: smaller batches are slower, larger ones do not fit its cache
GPU_BATCH = 64
READERS = 16  # threads; a read from an object store takes 50 ms and more
READ_AT_ONCE = 4  # files of a reader: on a local disk the hand-over costs more than the read

_STARTING = threading.Lock()  # an engine may start several DoFns of a process at the same time

Features = np.ndarray | bytes  # bytes: a JPEG file
T = TypeVar("T")
R = TypeVar("R")


class File(NamedTuple):
    """The file of an image, or the error of reading it."""

    image: CaptionedImage
    content: bytes | Exception
    digest: str  # `content_digest` of the content
    seconds: float


class Encoded(NamedTuple):
    """The result of encoding a batch."""

    images: list[tuple[CaptionedImage, Features | None]]  # None: in a dataset of text
    rejects: list[Reject]
    seconds: dict[str, float]  # stage -> time in it
    digests: list[str]  # of the files of `images`


class Machine(NamedTuple):
    """The encoder and the threads of a process, shared by all DoFns in it."""

    encoder: Any  # the SavedModel
    batch: int
    cores: ThreadPoolExecutor
    core_count: int
    readers: ThreadPoolExecutor
    devices: threading.Semaphore  # limits how many batches are encoded at once
    turn: threading.Lock  # held by the shard whose batches go to the cores


def start_machine(encoder_path: str, cores: int, fingerprint: str) -> Machine:
    """Loads the encoder and starts the threads of this process, once for all callers.

    Args:
      encoder_path: path of the dataset's SavedModel.
      cores: number of cores to use.
      fingerprint: distinguishes encoders that were at the same path.
    """
    with _STARTING:
        return _start_machine(encoder_path, cores, fingerprint)


@functools.lru_cache(maxsize=1)
def _start_machine(encoder_path: str, cores: int, fingerprint: str) -> Machine:
    set_up_tensorflow(cores)
    gc.collect()  # a local launcher is a worker too: this frees its Keras model's reference cycles
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return Machine(
        encoder=tf.saved_model.load(encoder_path),
        batch=GPU_BATCH if has_gpu else BATCH,
        cores=ThreadPoolExecutor(cores, "core"),
        core_count=cores,
        readers=ThreadPoolExecutor(READERS, "reader"),
        # On a GPU one batch is computed while the next one is copied.
        devices=threading.Semaphore(2 if has_gpu else cores),
        turn=threading.Lock(),
    )


def encode_images(
    machine: Machine, images: Iterable[CaptionedImage], dtype: str
) -> Generator[Encoded, None, None]:
    """The features of images, in their order, a batch at a time.

    Of several concurrent calls, the next one starts when the last batch of the one before is in
    progress. A caller that stops early must close the generator, or the next call waits forever.

    Args:
      machine: the encoder and the threads.
      images: the images whose files are read.
      dtype: the dtype of the features.
    """
    parts = map_ahead(machine.readers, _read, _batched(images, READ_AT_ONCE), READERS)
    batches = _batched(itertools.chain.from_iterable(parts), machine.batch)
    encode = functools.partial(_encode, machine, dtype)
    with closing(_hold(machine.turn, batches)) as in_turn:
        yield from map_ahead(machine.cores, encode, in_turn, machine.core_count + 1)


def encode_or_halve(
    encode: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]
) -> list[R | Exception]:
    """`encode(batch)`; if that fails, each element's result, or its exception if it fails alone.

    Args:
      encode: returns one result an element, which does not depend on the other elements.
      batch: the elements, at least one.
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
    """`map(function, items)` in order, with up to `ahead` results in progress on `threads`."""
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
    """The pixels of images that can be decoded, and for each image the error or None."""
    try:
        return encoder.decode_images(tf.constant(contents, tf.string)), [None] * len(contents)
    except tf.errors.OpError:
        pass  # at least one image failed
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
    """The features of these images of a batch, or the error if they are not finite."""
    images = pixels[numbers.start : numbers.stop] if len(numbers) < len(pixels) else pixels
    # All batches have one size, so that TensorFlow need not trace again for the last one.
    if missing := machine.batch - len(numbers):
        images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
    features = machine.encoder.encode(images)[: len(numbers)]
    if features.dtype == tf.string:
        return list(features.numpy())
    largest = tf.reduce_max(tf.abs(features), range(1, features.shape.rank)).numpy()
    error = ValueError(f"features are not finite in {dtype}")
    values = tf.cast(features, dtype).numpy()
    # NaN compares as false too.
    is_finite = largest <= np.finfo(dtype).max
    return [value if good else error for value, good in zip(values, is_finite, strict=True)]
