"""Command-line flags from the fields of dataclasses: one table for both packages.

A field that `flag` makes has its help, choices and bounds beside its default. `add_flags` makes a
parser of them, and `check_flags` refuses bad values, from the command line and from Python alike.
"""

import argparse
import dataclasses
import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tfrecords_schema.errors import InputError


class Flag(NamedTuple):
    """What a flag accepts, and what `--help` says of it."""

    help: str
    group: str
    choices: Sequence[str] = ()
    least: float | None = None  # the smallest value
    most: float | None = None  # the largest value
    above: float | None = None  # values are larger than this
    below: float | None = None  # values are smaller than this
    of: Mapping[str, Sequence[str]] = {}  # flag -> its values that this flag goes with
    path: bool = False  # a file or directory: `~` is expanded
    parse: Callable[[str], Any] | None = None  # from the text on the command line


def flag(default: Any = dataclasses.MISSING, **settings: Any) -> Any:
    """A dataclass field that is a flag; without a default it is required.

    Args:
      default: its value where it is not given.
      **settings: the fields of `Flag`.
    """
    return dataclasses.field(default=default, metadata={"flag": Flag(**settings)})


def flags_of(kind: Any) -> dict[str, tuple[dataclasses.Field, Flag]]:
    """The fields of a dataclass that are flags, by name."""
    return {
        field.name: (field, field.metadata["flag"])
        for field in dataclasses.fields(kind)
        if "flag" in field.metadata
    }


def add_flags(
    parser: argparse.ArgumentParser, *kinds: type, defaults: Mapping[str, Any] | None = None
) -> None:
    """Adds the flags of dataclasses to a parser, in their groups.

    A flag that is not given leaves no attribute, so that the caller knows which were; see `given`.

    Args:
      parser: of a command.
      *kinds: dataclasses.
      defaults: that `--help` shows in place of the fields' own.
    """
    groups: dict[str, Any] = {}
    for kind in kinds:
        for name, (field, flag) in flags_of(kind).items():
            if flag.group not in groups:
                groups[flag.group] = parser.add_argument_group(flag.group)
            default = (defaults or {}).get(name, field.default)
            settings: dict[str, Any] = {"required": default is dataclasses.MISSING}
            if field.type is bool:
                settings["action"] = argparse.BooleanOptionalAction
            else:
                kind_of_value = field.type if field.type in (int, float) else str
                settings["type"] = flag.parse or kind_of_value
                settings["choices"] = [choice for choice in flag.choices if choice] or None
            groups[flag.group].add_argument(
                f"--{name}",
                default=argparse.SUPPRESS,
                help=_help(flag, default),
                **settings,
            )


def _help(flag: Flag, default: Any) -> str:
    text = flag.help
    for name, values in flag.of.items():
        text += f"; only with --{name}={' or '.join(values)}"
    if default not in (dataclasses.MISSING, "", (), None):
        text += f" (default: {default})"
    return text.replace("%", "%%")


def given(namespace: argparse.Namespace, *kinds: type) -> dict[str, Any]:
    """The flags of dataclasses that were on the command line."""
    names = {name for kind in kinds for name in flags_of(kind)}
    return {name: value for name, value in vars(namespace).items() if name in names}


def to_arguments(*configs: Any) -> list[str]:
    """The command line that gives dataclasses of plain values."""
    arguments = []
    for config in configs:
        for name in flags_of(config):
            value = getattr(config, name)
            if isinstance(value, bool):
                arguments.append(f"--{name}" if value else f"--no-{name}")
            else:
                arguments.append(f"--{name}={value}")
    return arguments


def check_flags(config: Any) -> None:
    """Checks the values of a frozen dataclass, and expands its paths.

    Raises:
      InputError: a value has another type, is none of the choices or out of bounds, or the flag
        does not go with another one; the message names the flag.
    """
    for name, (field, flag) in flags_of(config).items():
        value = getattr(config, name)
        if flag.path and isinstance(value, (str, os.PathLike)):
            value = os.path.expanduser(os.fspath(value))
        value = _of_type(name, field.type, value)
        object.__setattr__(config, name, value)
        if flag.choices and value not in flag.choices:
            raise InputError(
                f"--{name}={value!r} must be one of: {', '.join(filter(None, flag.choices))}"
            )
        if isinstance(value, (int, float)) and (wanted := _out_of_bounds(flag, value)):
            raise InputError(f"--{name}={value} must {wanted}")


def check_goes_with(config: Any, values: Mapping[str, Any]) -> None:
    """Checks that flags which are not at their default go with the values of other flags.

    Args:
      config: a dataclass.
      values: of the flags that `Flag.of` names.

    Raises:
      InputError: a flag does not go with one of `values`.
    """
    for name, (field, flag) in flags_of(config).items():
        value = getattr(config, name)
        for other, allowed in flag.of.items():
            if value != field.default and values[other] not in allowed:
                raise InputError(
                    f"--{name}={value} goes with --{other}={' or '.join(allowed)}, not with "
                    f"--{other}={values[other]}"
                )


def _of_type(name: str, kind: Any, value: Any) -> Any:
    """The value as its field's type; numbers of NumPy become Python's."""
    accepted = {bool: bool, int: numbers.Integral, float: numbers.Real, str: str}.get(kind)
    if accepted is None:  # a tuple or table
        return value
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"--{name}={value!r} must be of type {kind.__name__}")
    return kind(value)


def _out_of_bounds(flag: Flag, value: float) -> str:
    """What is right where a value is not; empty where it is."""
    least, most, above, below = flag.least, flag.most, flag.above, flag.below
    is_within = (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if is_within:
        return "" if math.isfinite(value) or most == math.inf else "be finite"
    if above is not None:
        return f"be more than {above}"
    if most not in (None, math.inf):
        return f"lie in {least} to {most}"
    if below is not None:
        return f"lie in {least} to {below}, without {below}"
    return f"be at least {least}"
