"""What Keras must be set to, whatever KERAS_BACKEND and the user's keras.json say.

With another backend, another type of numbers or channels first the models that we build would be
others, or none. The backend is chosen when Keras is imported, the rest at any time.
"""

import os

from tfrecords_schema.errors import InputError

BACKEND = "tensorflow"


def choose_backend() -> None:
    """Has this process, and those that it starts, import Keras with TensorFlow.

    It is for commands, before anything imports Keras or TensorFlow, which tries to.
    """
    os.environ["KERAS_BACKEND"] = BACKEND


def import_keras() -> None:
    """Imports Keras.

    Raises:
      InputError: it does not like the user's keras.json.
    """
    try:
        import keras  # noqa: F401
    except ValueError as error:
        home = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
        path = os.path.join(home, "keras.json")
        raise InputError(f"Keras refuses {path}: {error} Correct or remove the file") from error


def set_up_keras() -> None:
    """Sets what models are built with; call it before one is built or read.

    Raises:
      InputError: the program has imported Keras with another backend.
    """
    import keras  # here, because importing this module comes before `choose_backend`

    if keras.config.backend() != BACKEND:
        raise InputError(
            f"Keras was imported with the backend {keras.config.backend()!r}: set KERAS_BACKEND="
            f"{BACKEND} in the environment before that"
        )
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
