"""Prints the captions of image files by an exported model."""

import contextlib
import csv
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from tfrecords_schema.errors import InputError
from tfrecords_schema.start_tensorflow import native_stderr_discarded
from trainer.serving.captioner import BATCH, Captioned, load_captioner
from trainer.serving.picture_files import find_pictures

CSV_FIELDS = ("file", "rank", "caption", "log_prob", "error")
BROKEN_PIPE_STATUS = 141  # 128 + SIGPIPE, the status of a program that this signal ends


def caption_files(model: str, arguments: Iterable[str], output_format: str = "text") -> bool:
    """Prints the captions of pictures, a batch at a time, in the order of the arguments.

    A picture without captions gets a line `error: FILE: reason` on standard error; `jsonl` and
    `csv` also have a row with the error.

    Args:
      model: directory of an exported version, or of versions.
      arguments: files, folders, patterns or `-`; see `find_pictures`.
      output_format: `text` for `file<TAB>best caption`, `jsonl` for an object a file, `csv` for a
        row a caption after a header row.

    Returns:
      Whether every picture has captions.

    Raises:
      InputError: there is no complete export, or standard output cannot be written to.
    """
    captioner = load_captioner(model)
    if captioner.directory != model:
        print(f"--model: the latest version is taken, {captioner.directory}", file=sys.stderr)
    good = True
    with _utf8_standard_output():
        if output_format == "csv":
            _print_csv(CSV_FIELDS)
        pictures = find_pictures(arguments)
        while batch := list(itertools.islice(pictures, BATCH)):
            with native_stderr_discarded():  # libjpeg's warnings there name no file
                found = iter(captioner([name for name, problem in batch if not problem]))
            for name, problem in batch:
                captioned = Captioned([], problem) if problem else next(found)
                if captioned.error:
                    good = False
                    sys.stdout.flush()  # keeps the order of both outputs on a terminal
                    print(f"error: {one_row(name)}: {captioned.error}", file=sys.stderr)
                _print(name, captioned, output_format)
            sys.stdout.flush()
    return good


def one_row(name: str) -> str:
    """A file name with line feeds and tabs escaped."""
    return name.replace("\n", "\\n").replace("\t", "\\t")


def _print(name: str, captioned: Captioned, output_format: str) -> None:
    captions, error = captioned
    scores = [round(caption.log_prob, 6) for caption in captions]
    if output_format == "jsonl":
        texts = [caption.text for caption in captions]
        row = {"file": name, "captions": texts, "log_probs": scores, "error": error}
        text = json.dumps(row, ensure_ascii=False)
        # A name that is not UTF-8 has lone surrogates, which are valid JSON as \udc80.
        print(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    elif output_format == "csv":
        if error:
            _print_csv((name, "", "", "", error))
        for rank, (caption, score) in enumerate(zip(captions, scores, strict=True), 1):
            _print_csv((name, rank, caption.text, score, ""))
    elif not error:
        print(f"{one_row(name)}\t{captions[0].text}")


def _print_csv(fields: Sequence) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(fields)


@contextlib.contextmanager
def _utf8_standard_output() -> Iterator[None]:
    """Sets standard output to UTF-8, with file names as their bytes on disk.

    Raises:
      SystemExit: the reader has closed the pipe, as with `| head`; no message is printed.
      InputError: standard output cannot be written to, such as on a full disk.
    """
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would write the rest when it ends, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE_STATUS)
        raise InputError(f"standard output cannot be written to: {error.strerror}") from error
