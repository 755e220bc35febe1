"""Finds pictures that are in more than one split, by their bytes, whatever their names are.

A test on pictures that a model was trained on is meaningless. Published data sets have such
pictures, so they are reported, not rejected.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tfrecords_schema.atomic_file import read_text, write_text

SHOWN = 1000  # pictures that are listed; all are counted

Places = list[tuple[str, str]]  # (split, image id), sorted


def find_same_pictures(element: tuple[str, Iterable[tuple[str, str]]]) -> Iterator[Places]:
    """Yields the places of (digest, places) if they are in several splits."""
    places = sorted(element[1])
    if len({split for split, _ in places}) > 1:
        yield places


def write_same_pictures(found: Iterable[Places], path: str) -> None:
    """Writes the number of such pictures, and the first of them, as JSON."""
    counted = 0

    def count() -> Iterator[Any]:
        nonlocal counted
        for places in found:
            counted += 1
            yield places

    first = heapq.nsmallest(SHOWN, count())
    write_text(path, json.dumps({"pictures": counted, "examples": first}, indent=1) + "\n")


def read_same_pictures(path: str) -> tuple[int, list[Places]]:
    """Reads the number of pictures, and the first of them, from the file at `path`."""
    content = json.loads(read_text(path))
    return content["pictures"], [[(s, i) for s, i in places] for places in content["examples"]]
