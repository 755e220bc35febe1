"""Compares the settings of a directory that is continued with those it was begun with."""

from collections.abc import Collection, Mapping
from typing import Any

from tfrecords_schema.errors import InputError


def check_same_settings(
    flag: str,
    directory: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    may_change: Collection[str] = (),
) -> None:
    """Checks that a directory is continued with the settings that it was begun with.

    Args:
      flag: the flag that named the directory.
      directory: the directory, for the message.
      before: the settings that it was begun with.
      now: the settings of this start.
      may_change: names that are not compared.

    Raises:
      InputError: settings differ; the message has each of them, before and now.
    """
    if found := name_differences(before, now, may_change):
        raise InputError(
            f"--{flag}: {directory} was begun with another configuration: {'; '.join(found)}. "
            "Give the same flags to continue it, or a new directory"
        )


def name_differences(
    before: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str] = ()
) -> list[str]:
    """`name was 1 and is 2` for each setting that differs, sorted by name."""
    old, new = flatten(before), flatten(now)
    return [
        f"{name} was {old.get(name)!r} and is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in may_change
    ]


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens nested settings: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": v for inner, v in flatten(value).items()}
        else:
            flat[name] = value
    return flat
