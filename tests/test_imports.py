"""The house: which package may import which, and no import cycles.

`tfrecords_schema` is the doorway: pipeline and trainer open onto it and neither onto the other.
"""

import graphlib
import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import PACKAGES, ROOT, read_imports

TRAINER_ROOMS = ("data", "layers", "models", "decoding", "objectives", "scores", "runs", "replicas",
                 "serving", "export")  # fmt: skip
GROUND = ("tfrecords_schema", "pipeline.config", "trainer.config")
# What a module must never import: dotted names. A room stands for all that is in it.
FORBIDDEN = {
    "pipeline": {"trainer"},
    "trainer": {"pipeline", "apache_beam"},
    "tfrecords_schema": {"pipeline", "trainer", "apache_beam", "absl"},  # Keras: see below
    "pipeline.sources": {"pipeline.text", "pipeline.images", "pipeline.encoder"},
    "pipeline.images": {"pipeline.encoder", "pipeline.text"},
    "trainer.models": {"trainer.data", "trainer.runs", "trainer.objectives"},
    "trainer.layers": {"trainer.data", "trainer.runs", "trainer.objectives"},
    "trainer.data": {"trainer.models"},
    "trainer.decoding": {"trainer.objectives", "trainer.scores"},
    "trainer.serving": {f"trainer.{room}" for room in TRAINER_ROOMS if room != "serving"},
    "trainer.scores.metrics": {"trainer.models", "trainer.data", "tensorflow", "keras"},
    "trainer.scores.score_files": {"trainer.models", "trainer.data", "tensorflow", "keras"},
}


def violations(imports: dict[str, set[str]]) -> list[str]:
    """`pipeline.x imports trainer.y`, one a forbidden import."""
    return [
        f"{module} imports {name}"
        for module, names in imports.items()
        for place, forbidden in FORBIDDEN.items()
        if is_in(module, place)
        for name in sorted(names)
        if any(is_in(name, other) for other in forbidden)
    ]


def is_in(name: str, place: str) -> bool:
    """Whether a dotted name is a module or package, or a name within it."""
    return f"{name}.".startswith(f"{place}.")


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


def test_no_module_imports_what_it_must_not_know():
    imports = read_imports(ROOT)
    assert {name.split(".")[0] for name in imports} == set(PACKAGES)
    assert all(any(is_in(module, place) for module in imports) for place in FORBIDDEN)
    assert "tfrecords_schema.vocabulary.Vocabulary" in imports["pipeline.text.build_vocabulary"]
    assert violations(imports) == []


def test_configurations_stand_on_the_ground():
    imports = read_imports(ROOT)
    for module in GROUND[1:]:
        ours = {name for name in imports[module] if name.split(".")[0] in PACKAGES}
        assert all(any(is_in(name, ground) for ground in GROUND) for name in ours), module


def test_serving_needs_nothing_of_the_trainer_but_itself():
    for module, names in read_imports(ROOT).items():
        if is_in(module, "trainer.serving"):
            ours = {name for name in names if is_in(name, "trainer") or is_in(name, "pipeline")}
            assert all(is_in(name, "trainer.serving") for name in ours), module


@pytest.mark.parametrize("module", ["pipeline.config", "trainer.config"])
def test_configurations_are_known_before_tensorflow_starts(module):
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert module in loaded
    assert not {"tensorflow", "keras", "apache_beam", "tensorflow_datasets"} & set(loaded)


def test_no_import_cycles():
    assert find_cycle(read_imports(ROOT)) == []


def test_a_forbidden_import_is_found_in_every_form(tmp_path):
    forms = [
        "import trainer",
        "import os, trainer.deep as other",
        "from trainer import thing",
        "from trainer.deep import thing as other, more",
        "def f():\n    if True:\n        from trainer import thing",
        "try:\n    import trainer.deep\nexcept ImportError:\n    pass",
        "from ..trainer import thing",
    ]
    for number, source in enumerate(forms):
        module = f"pipeline__x{number}"
        imports = write_tree(tmp_path, **{module: source})
        assert any(line.startswith(f"pipeline.x{number} imports") for line in violations(imports))


def test_imports_that_are_allowed_are_no_violations(tmp_path):
    imports = write_tree(
        tmp_path,
        pipeline__a="import apache_beam\nfrom absl import flags\nfrom tfrecords_schema import x",
        pipeline__b="from pipeline.a import f",
        pipeline__c="from pipeline import a, b",
        trainer__a="from absl import flags\nimport pipelines, apache_beam_like",
        tfrecords_schema__x="# import pipeline\nname = 'import trainer'",
        trainer__pipeline="from trainer import a",
    )
    assert violations(imports) == []
    assert find_cycle(imports) == []


def test_a_cycle_is_found_in_every_form(tmp_path):
    cycles = [
        {"pipeline.a": "from pipeline.b import f", "pipeline.b": "from pipeline import a"},
        {"trainer.a": "import trainer.b", "trainer.b": "def f():\n    from trainer.a import g"},
        {"pipeline.a": "from . import b", "pipeline.b": "from .a import f"},
        {"trainer.a": "from trainer.m.b import f", "trainer.m.b": "from .. import a"},
        {"pipeline.a": "import pipeline.a"},
    ]
    for number, cycle in enumerate(cycles):
        modules = {name.replace(".", "__"): source for name, source in cycle.items()}
        imports = write_tree(tmp_path / str(number), **modules)
        assert set(find_cycle(imports)) == set(cycle)
