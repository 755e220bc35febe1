"""Writes docs/reference.md: every flag of every command, from the dataclasses that have them.

python docs/make_reference.py
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the packages beside this page, whatever is installed

from pipeline.config import PipelineConfig
from tfrecords_schema.beamcap import COMMANDS as PROGRAM_COMMANDS
from tfrecords_schema.flags import REQUIRED, Flag, bounds, default_text, flags_of, goes_with
from trainer.command import COMMANDS, IMAGES_HELP
from trainer.command_flags import RecipeFlag
from trainer.config import ModelConfig, TrainConfig
from trainer.recipes import RECIPES, SELF_CRITICAL, attend, self_critical

PAGE = ROOT / "docs" / "reference.md"
HEAD = """# Reference: every flag

`make reference` writes this page from the flags, and a test fails where it is stale.

`beamcap COMMAND --help` shows the flags of a command. `beamcap build` is `python -m pipeline`,
`beamcap verify` is `python -m pipeline.verify`, and the other commands are those of
`python -m trainer`.
"""
BEAM = "Every other flag is an option of Apache Beam, such as `--runner`."
TABLE = "| flag | default | values | meaning |\n|---|---|---|---|"


def make_page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for name, (_, what) in PROGRAM_COMMANDS.items():
        parts.append(f"## beamcap {name}\n\n{what}\n")
        parts += parts_of_command(name)
    parts += ["## Recipes\n", *recipe_rows()]
    return "\n".join(parts).rstrip() + "\n"


def parts_of_command(name: str) -> Iterator[str]:
    """What the page says of a command below its heading."""
    if name == "build":
        yield from tables([PipelineConfig])
        yield f"{BEAM}\n"
    elif name == "verify":
        yield f"`DATA`, without a flag: directory of the dataset.\n\n{BEAM}\n"
    elif name == "launch":
        yield "It takes the flags of [train](#beamcap-train), and these:\n"
        shared = (RecipeFlag, TrainConfig, ModelConfig)
        yield from tables([kind for kind in COMMANDS[name].flags if kind not in shared])
    else:
        if name == "caption":
            yield f"`IMAGES`, without a flag: {IMAGES_HELP}.\n"
        yield from tables(COMMANDS[name].flags)


def tables(kinds) -> Iterator[str]:
    """A table a group."""
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        for name, (field, flag) in flags_of(kind).items():
            groups.setdefault(flag.group, [TABLE]).append(row(name, field, flag))
    for group, rows in groups.items():
        yield f"**{group[0].upper()}{group[1:]}**\n"
        yield "\n".join(rows) + "\n"


def row(name: str, field: dataclasses.Field, flag: Flag) -> str:
    """A flag's row."""
    default = "required" if field.default is REQUIRED else code(default_text(field))
    values = ", ".join(code(choice) for choice in flag.choices if choice)
    values = values or bounds(flag).removeprefix("be ").removeprefix("lie in ")
    if field.type is bool:
        values, name = "", f"{name}`, `--no-{name}"
    about = flag.help.replace("|", "\\|").replace("<", "&lt;")
    meaning = "; only with ".join([about, *map(code, goes_with(flag))])
    return f"| `--{name}` | {default} | {values} | {meaning} |".replace("  ", " ")


def code(text: str) -> str:
    """Text in backticks; nothing for nothing."""
    return f"`{text}`" if text else ""


def recipe_rows() -> Iterator[str]:
    """A row a recipe, with what it sets beside the defaults."""
    yield "| `--recipe` | what it is | what it sets |\n|---|---|---|"
    defaults = values_of(TrainConfig("data", "run"))
    for name, recipe in RECIPES.items():
        what = (recipe.__doc__ or "").splitlines()[0]
        if recipe is self_critical:  # the rest is that of a run, which it reads
            config = attend("data", "run", **SELF_CRITICAL, initial_run="RUN")
        else:
            config = recipe("data", "run")
        changes = [
            f"`--{flag}={value}`"
            for flag, value in values_of(config).items()
            if value != defaults[flag]
        ]
        yield f"| `{name}` | {what} | {' '.join(changes)} |"
    yield "\n`self_critical` takes `--model` and its sizes from `--initial_run`."


def values_of(config: TrainConfig) -> dict:
    """The values of a configuration and of its model's sizes, by flag."""
    fields = dataclasses.asdict(config)
    return fields | fields.pop("model_config")


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
