"""What each module of ours imports, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "trainer", "tfrecords_schema")


def read_imports(root: Path) -> dict[str, set[str]]:
    """Module -> dotted names it imports, anywhere in it, for our packages."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = parts[:-1] if is_package else parts
            tree = ast.parse(path.read_text("utf-8"))
            modules[".".join(module)] = set(imported_names(tree, module, is_package))
    return modules


def imported_names(tree: ast.AST, module: tuple[str, ...], is_package: bool) -> Iterator[str]:
    """`import a.b` gives a.b; `from a import b` gives a.b, whatever b is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level + is_package] if node.level else ()
            names = [*base, node.module] if node.module else [*base]
            yield from (".".join([*names, alias.name]) for alias in node.names)
