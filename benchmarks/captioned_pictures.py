"""Draws pictures in a row with the captions that an export gives them.

    .venv/bin/python benchmarks/captioned_pictures.py EXPORT/1 OUTPUT.png PICTURE ...

`docs/captioned.png` was made of the export of `make demo` and of five pictures of its test split.
"""

import sys
import textwrap

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import tensorflow as tf
from matplotlib.figure import Figure

CHARACTERS_A_LINE = 24


def main(export: str, output: str, paths: list[str]) -> None:
    contents = [tf.io.read_file(path) for path in paths]
    model = tf.saved_model.load(export).signatures["serving_default"]
    captions = model(image_bytes=tf.stack(contents))["captions"].numpy()[:, 0]

    figure = Figure(figsize=(2.2 * len(paths), 2.9), layout="constrained")
    for place, (content, caption) in enumerate(zip(contents, captions, strict=True), start=1):
        axes = figure.add_subplot(1, len(paths), place)
        axes.imshow(tf.io.decode_image(content, channels=3).numpy())
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(textwrap.fill(caption.decode(), CHARACTERS_A_LINE))
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
