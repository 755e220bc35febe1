"""`python -m trainer.serving.session_captions MODEL RESULT FILE...` captions in a session.

TensorFlow Serving, `saved_model_cli`, Java, Go and C load a SavedModel into a session, which
restores variables differently from `tf.saved_model.load`. RESULT becomes a JSON object of the
outputs of the captioning signature.
"""

import json
import sys
from collections.abc import Sequence

from tfrecords_schema.exported_model import (
    CAPTION_SIGNATURE,
    CAPTIONS,
    ERROR,
    IMAGE_BYTES,
    LOG_PROBS,
    SERVE_TAG,
)
from tfrecords_schema.start_tensorflow import start_tensorflow


def main(model: str, result: str, files: Sequence[str]) -> None:
    """Captions the files as one batch."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        loaded = tf.compat.v1.saved_model.load(session, [SERVE_TAG], model)
        signature = loaded.signature_def[CAPTION_SIGNATURE]
        contents = []
        for path in files:
            with tf.io.gfile.GFile(path, "rb") as file:
                contents.append(file.read())
        names = {name: info.name for name, info in signature.outputs.items()}
        values = session.run(names, {signature.inputs[IMAGE_BYTES].name: contents})
    plain = {
        CAPTIONS: [[text.decode() for text in row] for row in values[CAPTIONS]],
        LOG_PROBS: values[LOG_PROBS].tolist(),
        ERROR: [text.decode() for text in values[ERROR]],
    }
    with open(result, "w") as file:
        json.dump(plain, file)


if __name__ == "__main__":
    start_tensorflow()
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
