"""Command-line flags from the fields of dataclasses, for both packages.

A field made by `flag` has its help, choices and bounds next to its default. `add_flags` makes a
parser from such fields. `check_flags` and `given` reject bad values in Python and on the command
line.
"""

import argparse
import dataclasses
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import listed

REQUIRED = dataclasses.MISSING  # instead of a default
_TYPES: dict[Any, Any] = {bool: bool, int: int, float: (int, float), str: str}


class Flag(NamedTuple):
    """The values that a flag accepts, and its text in `--help`."""

    help: str
    group: str
    choices: Sequence[str] = ()
    least: float | None = None  # the smallest value
    most: float | None = None  # the largest value; inf allows infinity
    above: float | None = None  # values are larger than this
    below: float | None = None  # values are smaller than this
    of: Mapping[str, Sequence[str]] = {}  # other flag -> its values that allow this flag
    path: bool = False  # a file or directory: `~` is expanded
    parse: Callable[[str], Any] | None = None  # parses the text of the command line


def flag(default: Any = REQUIRED, help: str = "", group: str = "", **settings: Any) -> Any:
    """A dataclass field that is also a command-line flag.

    Args:
      default: the default value.
      help: the description in `--help`.
      group: the group of flags in `--help`.
      **settings: other fields of `Flag`.
    """
    return dataclasses.field(default=default, metadata={"flag": Flag(help, group, **settings)})


def flags_of(kind: Any) -> dict[str, tuple[dataclasses.Field, Flag]]:
    """The fields of a dataclass that are flags, by name."""
    return {
        field.name: (field, field.metadata["flag"])
        for field in dataclasses.fields(kind)
        if "flag" in field.metadata
    }


def command_name(module: str) -> str:
    """`beamcap build` if the console script runs the module, else `python -m MODULE`."""
    return sys.argv[0] if sys.argv[0].split(" ")[0] == "beamcap" else f"python -m {module}"


def add_flags(parser: argparse.ArgumentParser, *kinds: type) -> None:
    """Adds the flags of dataclasses to a parser, in their groups.

    An absent flag sets no attribute, so that the caller knows which were given; see `given`.
    """
    groups: dict[str, Any] = {}
    for kind in kinds:
        for name, (field, flag) in flags_of(kind).items():
            if flag.group not in groups:
                groups[flag.group] = parser.add_argument_group(flag.group)
            settings: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
            if field.type is not bool:
                settings = {
                    "type": field.type if field.type in (int, float) else str,
                    "choices": [choice for choice in flag.choices if choice] or None,
                }
            groups[flag.group].add_argument(
                f"--{name}",
                default=argparse.SUPPRESS,
                required=field.default is REQUIRED,
                help=_help(field, flag),
                **settings,
            )


def _help(field: dataclasses.Field, flag: Flag) -> str:
    text = "; only with ".join([flag.help, *goes_with(flag)])
    if default := default_text(field):
        text += f" (default: {default})"
    return text.replace("%", "%%")


def goes_with(flag: Flag) -> list[str]:
    """The other flags that a flag needs, such as `--model=merge or inject`."""
    return [f"--{name}={listed(tuple(values))}" for name, values in flag.of.items()]


def default_text(field: dataclasses.Field) -> str:
    """The default of a flag as written on the command line; empty if there is none."""
    if field.default is REQUIRED or field.default in ("", (), None):
        return ""
    is_list = isinstance(field.default, (tuple, list))
    return ",".join(map(str, field.default)) if is_list else str(field.default)


def given(namespace: argparse.Namespace, *kinds: type) -> dict[str, Any]:
    """The flags of dataclasses that were on the command line.

    Raises:
      InputError: a value is not one of the choices or out of bounds; the message names the flag.
    """
    return {
        name: _checked(name, field, flag, getattr(namespace, name))
        for kind in kinds
        for name, (field, flag) in flags_of(kind).items()
        if hasattr(namespace, name)
    }


def to_arguments(config: Any) -> list[str]:
    """The command line for a dataclass of plain values and of such dataclasses."""
    arguments = []
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            arguments += to_arguments(value)
        elif isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            arguments.append(f"--{name}={value}")
    return arguments


def check_flags(config: Any) -> None:
    """Checks the values of a frozen dataclass. Expands paths, and converts NumPy numbers to Python.

    Raises:
      InputError: a value has another type, is not one of the choices or is out of bounds; the
        message names the flag.
    """
    for name, (field, flag) in flags_of(config).items():
        object.__setattr__(config, name, _checked(name, field, flag, getattr(config, name)))


def check_goes_with(config: Any, values: Mapping[str, Any]) -> None:
    """Checks that flags with other values than their default are valid with other flags.

    Args:
      config: a dataclass.
      values: the values of the flags that `Flag.of` names.

    Raises:
      InputError: a flag is not valid with one of `values`.
    """
    for name, (field, flag) in flags_of(config).items():
        value = getattr(config, name)
        for (other, allowed), needed in zip(flag.of.items(), goes_with(flag), strict=True):
            if value != field.default and values[other] not in allowed:
                raise InputError(
                    f"--{name}={value} goes with {needed}, not with --{other}={values[other]}"
                )


def _checked(name: str, field: dataclasses.Field, flag: Flag, value: Any) -> Any:
    """The value converted to its field's type; see `check_flags`."""
    if flag.path and isinstance(value, (str, os.PathLike)):
        value = os.path.expanduser(os.fspath(value))
    if flag.parse and isinstance(value, str):
        try:
            value = flag.parse(value)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"--{name}: {error}") from error
    value = _of_type(name, field.type, value)
    if flag.choices and value not in flag.choices:
        raise InputError(
            f"--{name}={value!r} must be one of: {', '.join(filter(None, flag.choices))}"
        )
    if isinstance(value, float) and not math.isfinite(value) and value != flag.most:
        raise InputError(f"--{name}={value} must be finite")
    if isinstance(value, (int, float)) and not _is_within(flag, value):
        raise InputError(f"--{name}={value} must {bounds(flag)}")
    return value


def _of_type(name: str, kind: Any, value: Any) -> Any:
    """The value in its field's type: NumPy numbers become Python's, lists become tuples."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if kind not in _TYPES:
        return tuple(value) if isinstance(value, list) else value
    if not isinstance(value, _TYPES[kind]) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"--{name}={value!r} must be of type {kind.__name__}")
    return kind(value)


def _is_within(flag: Flag, value: float) -> bool:
    """Whether a number lies within the bounds of a flag."""
    return (
        (flag.least is None or value >= flag.least)
        and (flag.most is None or value <= flag.most)
        and (flag.above is None or value > flag.above)
        and (flag.below is None or value < flag.below)
    )


def bounds(flag: Flag) -> str:
    """The condition on a number, such as `be at least 1`; empty if any finite number is valid."""
    least, most, above, below = flag.least, flag.most, flag.above, flag.below
    if least is not None and below is not None:
        return f"lie in {least} to {below}, without {below}"
    if least is not None and most not in (None, math.inf):
        return f"lie in {least} to {most}"
    words = {"at least": least, "more than": above, "at most": most, "less than": below}
    parts = [f"{word} {bound}" for word, bound in words.items() if bound not in (None, math.inf)]
    return f"be {' and '.join(parts)}" if parts else ""
