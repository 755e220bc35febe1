"""The settings of Keras, which override KERAS_BACKEND and the user's keras.json.

Another backend, another float type or channels first would change the models or break them. The
backend is chosen when Keras is imported, the other settings at any time.
"""

import os

from tfrecords_schema.errors import InputError

BACKEND = "tensorflow"


def choose_backend() -> None:
    """Makes this process and its children import Keras with TensorFlow.

    Commands call it before anything imports Keras, or TensorFlow, which imports Keras.
    """
    os.environ["KERAS_BACKEND"] = BACKEND


def import_keras() -> None:
    """Imports Keras.

    Raises:
      InputError: Keras rejects the user's keras.json.
    """
    try:
        import keras  # noqa: F401
    except ValueError as error:
        home = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
        path = os.path.join(home, "keras.json")
        raise InputError(f"Keras refuses {path}: {error} Correct or remove the file") from error


def set_up_keras() -> None:
    """Sets the dtype and the image data format; call it before a model is built or read.

    Raises:
      InputError: the program has imported Keras with another backend.
    """
    import keras  # imported late, since this module is imported before `choose_backend` is called

    if keras.config.backend() != BACKEND:
        raise InputError(
            f"Keras was imported with the backend {keras.config.backend()!r}: set KERAS_BACKEND="
            f"{BACKEND} in the environment before that"
        )
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
