"""The dataset that `--data` names."""

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Manifest, check_dataset, read_manifest


def open_dataset(data: str, flag: str = "data") -> Manifest:
    """The manifest of the dataset at `data`, whose files are those that it tells of.

    Args:
      data: directory of the dataset.
      flag: that named it.

    Raises:
      InputError: no dataset is there, or it is not whole; the message begins with the flag.
    """
    try:
        manifest = read_manifest(data)
        check_dataset(data, manifest)
    except InputError as error:
        raise InputError(f"--{flag}: {error}") from error
    return manifest
