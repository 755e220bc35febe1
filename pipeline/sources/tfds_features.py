"""Finds the features of a TFDS data set that hold the image, the captions and the id.

A feature's name is the keys that lead to it, joined by slashes: `captions/text` in

    FeaturesDict({
        'image': Image(shape=(None, None, 3), dtype=uint8),
        'image/filename': Text(shape=(), dtype=string),      a key may itself have a slash
        'captions': Sequence({'id': int64, 'text': string}),
    })
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.sources.table_rows import Columns
from tfrecords_schema.errors import InputError

FILENAME = "image/filename"  # the default id of an image


class Feature(NamedTuple):
    """A leaf of the tree of features."""

    path: tuple[str, ...]  # the keys that lead to it in an example
    connector: Any  # a tfds.features.FeatureConnector
    depth: int  # number of sequences around it


class Paths(NamedTuple):
    """The paths of the image, the captions and the id in an example; () for no id."""

    image: tuple[str, ...]
    caption: tuple[str, ...]
    id: tuple[str, ...]


def choose_features(name: str, features: Any, columns: Columns) -> Paths:
    """Finds the paths of the image, the captions and the id.

    Args:
      name: name of the data set, for messages.
      features: a tfds.features.FeaturesDict.
      columns: names of features. If a default name is absent, the only image or the only text
        other than the id is used.

    Raises:
      InputError: a name is absent, and there is none or more than one to choose from.
    """
    leaves = {"/".join(leaf.path): leaf for leaf in _leaves(features)}
    ids = [key for key, leaf in leaves.items() if _is_id(leaf)]
    images = [key for key, leaf in leaves.items() if _is_image(leaf)]
    columns = columns._replace(id=columns.id or FILENAME * (FILENAME in ids))
    names = (columns.id, FILENAME)  # text, but not captions
    texts = [key for key, leaf in leaves.items() if _is_text(leaf) and key not in names]

    def choose(kind: str, candidates: list[str]) -> tuple[str, ...]:
        key = getattr(columns, kind)
        if key not in candidates and key == getattr(Columns(), kind) and len(candidates) == 1:
            key = candidates[0]
        if key not in candidates:
            has = ", ".join(f"{key} ({_describe(leaf)})" for key, leaf in leaves.items())
            raise InputError(
                f"--tfds_name={name}: --{kind}_column={key} is not, or does not tell, the feature "
                f"of the {kind}; its features are: {has}"
            )
        return leaves[key].path

    id = choose("id", ids) if columns.id else ()
    return Paths(choose("image", images), choose("caption", texts), id)


def _leaves(features: Any, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[Feature]:
    for key, connector in features.items():
        is_sequence = type(connector) is tfds.features.Sequence
        inner = connector.feature if is_sequence else connector
        if isinstance(inner, tfds.features.FeaturesDict):
            yield from _leaves(inner, (*path, key), depth + is_sequence)
        else:
            yield Feature((*path, key), inner, depth + is_sequence)


def _is_image(leaf: Feature) -> bool:
    return isinstance(leaf.connector, tfds.features.Image) and not leaf.depth


def _is_text(leaf: Feature) -> bool:
    connector = leaf.connector
    return connector.shape == () and connector.tf_dtype == tf.string and leaf.depth <= 1


def _is_id(leaf: Feature) -> bool:
    connector = leaf.connector
    is_integer = connector.shape == () and connector.tf_dtype.is_integer
    return not leaf.depth and (is_integer or _is_text(leaf))


def _describe(leaf: Feature) -> str:
    return f"{'list of ' * leaf.depth}{type(leaf.connector).__name__}"
