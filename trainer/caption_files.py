"""Captions for image files, by an exported model."""

import sys
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line

BATCH = 16  # images


def caption_files(model: str, images: Sequence[str]) -> bool:
    """Prints `file<TAB>caption` for each image; a bad one gets a line on standard error.

    Args:
      model: directory of an exported version.
      images: paths of image files.

    Returns:
      Whether every image got its caption.

    Raises:
      InputError: no exported model is there.
    """
    if not tf.io.gfile.exists(f"{model}/saved_model.pb"):
        raise InputError(
            f"--model: {model} holds no exported model; give a version, such as EXPORT/1"
        )
    serve = tf.saved_model.load(model).signatures["serving_default"]
    good = True
    for start in range(0, len(images), BATCH):
        for image, result in _caption_batch(serve, images[start : start + BATCH]):
            if isinstance(result, Exception):
                good = False
                print(f"error: {image}: {one_line(result)}", file=sys.stderr)
            else:
                print(f"{image}\t{result}")
    return good


def _caption_batch(
    serve: tf.types.experimental.ConcreteFunction, images: Sequence[str]
) -> Iterator[tuple[str, str | Exception]]:
    try:
        image_bytes = [tf.io.read_file(image) for image in images]
        captions = serve(image_bytes=tf.stack(image_bytes))["captions"].numpy()
    except tf.errors.OpError as error:
        if len(images) == 1:
            yield images[0], error
        else:  # one bad image fails its batch: find it, and caption the others
            half = len(images) // 2
            yield from _caption_batch(serve, images[:half])
            yield from _caption_batch(serve, images[half:])
        return
    for image, beams in zip(images, captions, strict=True):
        yield image, beams[0].decode()
