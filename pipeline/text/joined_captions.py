"""Files that pass images with their captions from the first job to the second.

The first job reads the source and joins its mentions by image; the second needs only the result. A
worker writes joined images as TFRecords of JSON, and passes on the name of every complete file.
Only the names that the engine has committed are read, so leftovers of a failed bundle are ignored.
"""

import json
import os
import uuid
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.text.join_captions import CaptionedImage
from tfrecords_schema.errors import InputError, one_line

READ_AT_ONCE = 512  # images; reading single ones takes several times as long
IMAGES_A_FILE = 20_000  # about 10 MB: enough files for many workers, few enough to list


class WriteJoined(beam.DoFn):
    """CaptionedImage -> the names of the files that hold them."""

    def __init__(self, directory: str):
        """`directory` is the directory of the files."""
        self._directory = directory

    def start_bundle(self) -> None:
        """Each bundle starts a new file."""
        self._writer: tf.io.TFRecordWriter | None = None
        self._name, self._written = "", 0

    def process(self, image: CaptionedImage) -> Iterator[str]:
        """Writes the image; yields the name of a file when it is full."""
        if self._writer is None:
            tf.io.gfile.makedirs(self._directory)
            self._name, self._written = f"{uuid.uuid4().hex}.tfrecord", 0
            self._writer = tf.io.TFRecordWriter(os.path.join(self._directory, self._name))
        self._writer.write(json.dumps(image).encode())  # JSON escapes make it ASCII
        self._written += 1
        if self._written == IMAGES_A_FILE:
            yield self._close()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields the name of the last file."""
        if self._writer is not None:
            window = GlobalWindow()
            yield WindowedValue(self._close(), window.max_timestamp(), (window,))

    def _close(self) -> str:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        return self._name


def read_joined(path: str) -> Iterator[CaptionedImage]:
    """The images in one of the files, one by one.

    Raises:
      InputError: the file is missing or damaged.
    """
    try:
        for records in tf.data.TFRecordDataset(path).batch(READ_AT_ONCE).as_numpy_iterator():
            for record in records:
                yield CaptionedImage(*json.loads(record))
    except tf.errors.OpError as error:
        raise InputError(
            f"--output: {path}, which this job has written, cannot be read: {one_line(error)}. "
            "Give a directory that this machine and all workers see under one name"
        ) from error
