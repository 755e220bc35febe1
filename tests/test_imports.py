"""The house: which package may import which, and no import cycles.

`tfrecords_schema` is the doorway: pipeline and trainer open onto it and neither onto the other.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {  # package -> top-level names that it must not import
    "pipeline": {"trainer"},
    "trainer": {"pipeline", "apache_beam"},
    "tfrecords_schema": {"pipeline", "trainer", "apache_beam", "absl"},
}


def read_imports(root: Path) -> dict[str, set[str]]:
    """Module -> dotted names it imports, anywhere in it, for the packages of FORBIDDEN."""
    modules = {}
    for package in FORBIDDEN:
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


def violations(imports: dict[str, set[str]]) -> list[str]:
    """`pipeline.x imports trainer.y`, one a forbidden import."""
    return [
        f"{module} imports {name}"
        for module, names in imports.items()
        for name in sorted(names)
        if name.split(".")[0] in FORBIDDEN[module.split(".")[0]]
    ]


def find_cycle(imports: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, the first of them again at the end; empty if none."""
    graph = {
        module: {target for name in names if (target := own_module(name, imports)) is not None}
        for module, names in imports.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def own_module(name: str, imports: dict[str, set[str]]) -> str | None:
    """The module of ours that a dotted name is in, if any."""
    while name and name not in imports:
        name = name.rpartition(".")[0]
    return name or None


def write_tree(root: Path, **modules: str) -> dict[str, set[str]]:
    """Writes `pipeline__x="import y"` as pipeline/x.py; returns the imports read back."""
    for name, source in modules.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        (path.parent / "__init__.py").touch()
    return read_imports(root)


def test_every_module_is_read():
    imports = read_imports(ROOT)
    for module in ("pipeline.build", "trainer.models.attend", "tfrecords_schema.shards"):
        assert module in imports
    assert "tfrecords_schema.vocabulary.Vocabulary" in imports["pipeline.build_vocabulary"]
    assert {module.split(".")[0] for module in imports} == set(FORBIDDEN)


def test_no_package_reaches_into_one_it_must_not_know():
    assert violations(read_imports(ROOT)) == []


def test_no_import_cycles():
    assert find_cycle(read_imports(ROOT)) == []


@pytest.mark.parametrize(
    "module, forbidden", [(m, f) for m in FORBIDDEN for f in sorted(FORBIDDEN[m])]
)
@pytest.mark.parametrize(
    "source",
    [
        "import {}",
        "import os, {}.deep as other",
        "from {} import thing",
        "from {}.deep import thing as other, more",
        "def f():\n    if True:\n        from {} import thing",
        "try:\n    import {}.deep\nexcept ImportError:\n    pass",
    ],
)
def test_a_forbidden_import_is_found_in_every_form(tmp_path, module, forbidden, source):
    imports = write_tree(tmp_path, **{f"{module}__x": source.format(forbidden)})
    found = violations(imports)
    assert found
    assert all(line.startswith(f"{module}.x imports {forbidden}") for line in found)


def test_imports_that_are_allowed_are_not_found(tmp_path):
    imports = write_tree(
        tmp_path,
        pipeline__a="import apache_beam\nfrom absl import flags\nfrom tfrecords_schema import x",
        trainer__a="from absl import flags\nimport pipelines, apache_beam_like",
        tfrecords_schema__x="# import pipeline\nname = 'import trainer'",
        trainer__pipeline="from trainer import a",
    )
    assert violations(imports) == []
    assert find_cycle(imports) == []


@pytest.mark.parametrize(
    "modules, cycle",
    [
        (
            dict(pipeline__a="from pipeline.b import f", pipeline__b="from pipeline import a"),
            {"pipeline.a", "pipeline.b"},
        ),
        (
            dict(
                trainer__a="import trainer.b",
                trainer__b="def f():\n    from trainer.c import g",
                trainer__c="from trainer.a import h",
            ),
            {"trainer.a", "trainer.b", "trainer.c"},
        ),
        (
            dict(pipeline__a="from . import b", pipeline__b="from .a import f"),
            {"pipeline.a", "pipeline.b"},
        ),
        (
            dict(trainer__a="from trainer.m.b import f", trainer__m__b="from .. import a"),
            {"trainer.a", "trainer.m.b"},
        ),
        (dict(pipeline__a="import pipeline.a"), {"pipeline.a"}),
    ],
)
def test_a_cycle_is_found(tmp_path, modules, cycle):
    assert set(find_cycle(write_tree(tmp_path, **modules))) == cycle


def test_a_chain_is_no_cycle(tmp_path):
    imports = write_tree(
        tmp_path,
        pipeline__a="",
        pipeline__b="from pipeline.a import f",
        pipeline__c="from pipeline import a, b",
    )
    assert find_cycle(imports) == []
