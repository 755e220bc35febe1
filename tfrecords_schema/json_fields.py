"""Makes dataclasses from their JSON objects."""

import dataclasses
import json
import typing
from typing import Any, TypeVar

from tfrecords_schema.atomic_file import read_text
from tfrecords_schema.errors import one_line

T = TypeVar("T")
_ACCEPTED: dict[type, tuple[type, ...]] = {float: (float, int)}  # JSON writes 1.0 and 1


class JsonError(Exception):
    """The content of a JSON file is wrong; the message does not name the file."""


def read_json_object(path: str) -> dict[str, Any]:
    """Reads the JSON object in the file at `path`.

    Raises:
      JsonError: the file holds something else.
      OSError, tf.errors.OpError: the file cannot be read.
    """
    try:
        fields = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise JsonError(f"it is not valid JSON: {one_line(error)}") from error
    if not isinstance(fields, dict):
        raise JsonError(f"it holds {fields!r:.40} and no JSON object")
    return fields


def make_instance(kind: type[T], fields: Any, name: str = "") -> T:
    """`kind(**fields)`, with the types of plain fields checked.

    Args:
      kind: a dataclass.
      fields: the fields from JSON. Fields with a default may be missing.
      name: the name of the object, for messages.

    Raises:
      JsonError: a field is missing, unknown, or of another type.
    """
    if not isinstance(fields, dict):
        raise JsonError(f"{name or 'it'} is {fields!r:.40} and no JSON object")
    before = f"{name}." if name else ""
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for unknown in sorted(fields.keys() - known.keys()):
        raise JsonError(f"field {before}{unknown} is unknown")
    types = typing.get_type_hints(kind)
    for field in known.values():
        if field.name not in fields:
            if field.default is field.default_factory is dataclasses.MISSING:
                raise JsonError(f"field {before}{field.name} is missing")
            continue
        wanted, value = types[field.name], fields[field.name]
        plain = typing.get_origin(wanted) or wanted
        if plain in (bool, int, float, str, dict) and (
            not isinstance(value, _ACCEPTED.get(plain, plain))
            or (isinstance(value, bool) and plain is not bool)
        ):
            raise JsonError(
                f"field {before}{field.name} is {value!r:.40}, it must be of type {plain.__name__}"
            )
    return kind(**fields)
