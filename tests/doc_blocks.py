"""The fenced blocks of the documentation's pages."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    not_run: str  # the reason, or empty


def blocks_of(page: str) -> list[Block]:
    fence = re.compile(
        r"^(?:<!-- not run: (?P<reason>.*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
        re.MULTILINE | re.DOTALL,
    )
    return [
        Block(found["language"], found["text"], found["reason"] or "")
        for found in fence.finditer(page)
    ]
