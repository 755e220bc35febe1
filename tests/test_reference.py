"""docs/reference.md: as the flags are, with every flag of every command."""

import importlib.util
import re
from pathlib import Path

from pipeline.command import make_parser as make_pipeline_parser
from trainer.command import make_parser
from trainer.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"


def test_the_reference_is_as_the_flags_are():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGE.read_text("utf-8") == module.make_page(), "stale: give `make reference`"


def test_the_reference_has_every_flag_with_its_help():
    """By the parsers that the commands use; Beam's flags are Beam's to tell."""
    sections = dict(
        re.findall(
            r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
    )
    parsers = dict(make_parser()._subparsers._group_actions[0].choices)
    assert {*sections} == {
        "beamcap build", "beamcap verify", "Recipes", *(f"beamcap {name}" for name in parsers),
    }  # fmt: skip
    seen = 0
    for name, parser in {"build": make_pipeline_parser(), **parsers}.items():
        section = sections[f"beamcap {name}"]
        if name == "launch":
            section += sections["beamcap train"]
        for action in parser._actions:
            for option in action.option_strings:
                if option in ("-h", "--help"):
                    continue
                (row,) = (
                    line for line in section.splitlines() if line.startswith("|")
                    and f"`{option}`" in line.split(" | ")[0]
                )  # fmt: skip
                for choice in action.choices or ():
                    assert f"`{choice}`" in row, (name, option)
                about = action.help.replace("%%", "%").split(" (default: ")
                assert about[0].split("; only with")[0].replace("<", "&lt;") in row
                if len(about) > 1:
                    assert f"| `{about[-1].removesuffix(')')}` |" in row, (name, option)
                assert ("| required |" in row) == action.required
                seen += 1
    assert seen > 150
    for name in RECIPES:
        assert f"| `{name}` |" in sections["Recipes"]
