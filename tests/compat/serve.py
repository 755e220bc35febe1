"""Runs an export where there is only TensorFlow, with TensorFlow Serving's messages.

    python serve.py EXPORT/1 ANSWERS.json FILE...

ANSWERS.json has what each signature gives: `loaded` by `tf.saved_model.load`, `predicted` by a
session behind messages of `tensorflow_serving.apis`, as TensorFlow Serving runs it. Bytes are in
Latin-1 there.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2


def main(export: str, answers: str, *files: str) -> None:
    """Runs each signature on the content of the files."""
    image_bytes = [Path(file).read_bytes() for file in files]
    signatures = tf.saved_model.load(export).signatures
    names = ("serving_default", "encode")
    loaded = {name: plain(signatures[name](image_bytes=tf.constant(image_bytes))) for name in names}
    predicted = {}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signature_def = tf.compat.v1.saved_model.loader.load(session, ["serve"], export)
        for name in names:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = name
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(image_bytes))
            signature = signature_def.signature_def[name]
            response = predict_pb2.PredictResponse.FromString(
                predict(session, signature, request.SerializeToString())
            )
            predicted[name] = plain(
                {key: tf.make_ndarray(proto) for key, proto in response.outputs.items()}
            )
    with open(answers, "w") as file:
        json.dump({"tensorflow": tf.__version__, "loaded": loaded, "predicted": predicted}, file)


def predict(session, signature, request_bytes: bytes) -> bytes:
    """The answer to a request: names and types are those of the signature, or it is refused."""
    request = predict_pb2.PredictRequest.FromString(request_bytes)
    assert request.inputs.keys() == signature.inputs.keys()
    feeds = {}
    for key, proto in request.inputs.items():
        assert proto.dtype == signature.inputs[key].dtype
        feeds[signature.inputs[key].name] = tf.make_ndarray(proto)
    fetches = {key: info.name for key, info in signature.outputs.items()}
    response = predict_pb2.PredictResponse()
    for key, value in session.run(fetches, feeds).items():
        dtype = signature.outputs[key].dtype
        response.outputs[key].CopyFrom(tf.make_tensor_proto(value, dtype=dtype))
    return response.SerializeToString()


def plain(outputs: dict) -> dict:
    """Tensors or arrays as lists."""

    def text(values):
        if isinstance(values, list):
            return [text(value) for value in values]
        return values.decode("latin-1")

    arrays = {key: np.asarray(value) for key, value in sorted(outputs.items())}
    return {
        key: text(array.tolist()) if array.dtype.kind in "OS" else array.tolist()
        for key, array in arrays.items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
