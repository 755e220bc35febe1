"""Captions for image files, by an exported model."""

import contextlib
import csv
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.exported_model import find_version, load_exported
from tfrecords_schema.start_tensorflow import native_stderr_discarded
from trainer.serving.picture_files import find_pictures, read_picture, reason

BATCH = 16  # images; the memory that is needed
READERS = 8  # threads, which wait for a network's filesystem
CSV_FIELDS = ("file", "rank", "caption", "log_prob", "error")
BROKEN_PIPE_STATUS = 141  # 128 + SIGPIPE, as of a program that the signal ends


class Captioned(NamedTuple):
    """What became of a file."""

    file: str
    captions: Sequence[str]  # best first; none with an error
    log_probs: Sequence[float]
    error: str  # "" or why it has no captions


def caption_files(model: str, arguments: Iterable[str], output_format: str = "text") -> bool:
    """Prints the captions of pictures, a batch at a time, in the order of the arguments.

    A picture without captions gets a line `error: FILE: reason` on standard error, and with
    `jsonl` and `csv` a row that says so too.

    Args:
      model: directory of an exported version, or of versions.
      arguments: files, folders, patterns or `-`; see `find_pictures`.
      output_format: `text` for `file<TAB>best caption`, `jsonl` for an object a file, `csv` for a
        row a caption, after a row of names.

    Returns:
      Whether every picture got its captions.

    Raises:
      InputError: no whole export is there, or standard output cannot be written to.
    """
    version = find_version(model)
    serve = load_exported(version)
    if version != model:
        print(f"--model: the latest version is taken, {version}", file=sys.stderr)
    good = True
    with _utf8_standard_output():
        if output_format == "csv":
            _print_csv(CSV_FIELDS)
        pictures = find_pictures(arguments)
        with ThreadPoolExecutor(READERS) as readers:
            while batch := list(itertools.islice(pictures, BATCH)):
                for row in _caption_batch(version, serve, list(readers.map(_read, batch))):
                    if row.error:
                        good = False
                        sys.stdout.flush()  # where both go to one screen, they keep their order
                        print(f"error: {one_row(row.file)}: {row.error}", file=sys.stderr)
                    _print(row, output_format)
                sys.stdout.flush()
    return good


def one_row(name: str) -> str:
    """A file name without what would end a row or a column."""
    return name.replace("\n", "\\n").replace("\t", "\\t")


def _read(picture: tuple[str, str]) -> tuple[str, bytes, str]:
    """Name, content and why there is none."""
    name, problem = picture
    if problem:
        return name, b"", problem
    try:
        return name, read_picture(name), ""
    except (OSError, ValueError, tf.errors.OpError) as error:
        return name, b"", reason(error, name)


def _caption_batch(
    version: str,
    serve: tf.types.experimental.ConcreteFunction,
    files: Sequence[tuple[str, bytes, str]],
) -> Iterator[Captioned]:
    contents = [content for _, content, problem in files if not problem]
    rows: Iterator[tuple] = iter(())
    if contents:
        try:
            with native_stderr_discarded():  # libjpeg names no file in what it writes there
                result = serve(image_bytes=tf.constant(contents, tf.string))
        except tf.errors.OpError as error:
            raise InputError(f"--model: {version} fails: {one_line(error)}") from error
        rows = zip(*(result[k].numpy() for k in ("captions", "log_probs", "error")), strict=True)
    for name, _, problem in files:
        if problem:
            yield Captioned(name, (), (), problem)
            continue
        captions, log_probs, refusal = next(rows)
        if refusal:
            yield Captioned(name, (), (), refusal.decode())
        else:
            scores = [round(float(score), 6) for score in log_probs]
            yield Captioned(name, [caption.decode() for caption in captions], scores, "")


def _print(row: Captioned, output_format: str) -> None:
    if output_format == "jsonl":
        text = json.dumps(row._asdict(), ensure_ascii=False)
        # A name that is no UTF-8 has lone surrogates; written as \udc80 they are JSON.
        print(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    elif output_format == "csv":
        if row.error:
            _print_csv((row.file, "", "", "", row.error))
        for rank, (caption, score) in enumerate(zip(row.captions, row.log_probs, strict=True), 1):
            _print_csv((row.file, rank, caption, score, ""))
    elif not row.error:
        print(f"{one_row(row.file)}\t{row.captions[0]}")


def _print_csv(fields: Sequence) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(fields)


@contextlib.contextmanager
def _utf8_standard_output() -> Iterator[None]:
    """Standard output in UTF-8, where file names are the bytes that they are on the disk.

    Raises:
      SystemExit: nobody reads on, as with `| head`; nothing is said.
      InputError: it cannot be written to, for a full disk.
    """
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Or Python would try to write the rest when it ends, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE_STATUS)
        raise InputError(f"standard output cannot be written to: {error.strerror}") from error
