"""Writes the list of modules into docs/architecture.md, from the first lines of their docstrings.

.venv/bin/python docs/make_architecture.py           # writes
.venv/bin/python docs/make_architecture.py --check   # exits with 1 if the page is stale
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("tfrecords_schema", "pipeline", "trainer")
START, END = "<!-- modules -->\n", "<!-- end of modules -->"


def first_line(path: Path) -> str:
    """What a module or package says that it is, without the full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n\n")[0].replace("\n", " ").removesuffix(".")


def list_modules() -> str:
    """A table a room, with a line a module."""
    text = ""
    for package in PACKAGES:
        for room in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            name = room.relative_to(ROOT).as_posix()
            text += f"\n### `{name}/`\n\n{first_line(room / '__init__.py')}.\n\n"
            text += "| module | |\n|---|---|\n"
            modules = (path for path in sorted(room.glob("*.py")) if path.name != "__init__.py")
            text += "".join(f"| `{path.stem}` | {_cell(path)} |\n" for path in modules)
    return text + "\n"


def _cell(path: Path) -> str:
    return first_line(path).replace("|", "\\|").replace("<", "&lt;")


def main(check: bool) -> int:
    """Writes or checks the page; 1 where it is stale."""
    page = PAGE.read_text("utf-8")
    before, rest = page.split(START)
    wanted = before + START + list_modules() + END + rest.split(END)[1]
    if check:
        return int(wanted != page)
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
