"""The console script: `beamcap COMMAND` runs a module of this project as `python -m` does."""

import importlib.metadata
import runpy
import sys

PROGRAM = "beamcap"
COMMANDS = {  # command -> module, and help text
    "build": ("pipeline", "Writes captioned images as a dataset of sharded TFRecords."),
    "verify": ("pipeline.verify", "Reads every shard of a dataset and says what is wrong."),
    "train": ("trainer", "Trains a captioner on a dataset."),
    "launch": ("trainer", "Trains with several local worker processes."),
    "evaluate": ("trainer", "Captions a split and scores the captions."),
    "export": ("trainer", "Writes a SavedModel from image bytes to captions."),
    "caption": ("trainer", "Captions image files with an exported model."),
}


def main() -> None:
    """Runs the command that the first argument names, in this process.

    The module parses its own flags from `sys.argv`, whose first element is the command as typed,
    for usage and messages. Packages are run, not imported, since this one depends on neither.
    """
    name, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(PROGRAM, importlib.metadata.version(PROGRAM))
    elif name in COMMANDS:
        module = COMMANDS[name][0]
        takes_command = module == "trainer"  # it has subcommands of the same names
        sys.argv = [PROGRAM, name, *rest] if takes_command else [f"{PROGRAM} {name}", *rest]
        runpy.run_module(module, run_name="__main__")
    elif not name:
        print(_help(), file=sys.stderr)
        sys.exit(2)
    else:
        print(
            f"error: {name!r} is no command, it must be one of: {', '.join(COMMANDS)}; "
            f"`{PROGRAM} --help` says what they do",
            file=sys.stderr,
        )
        sys.exit(2)


def _help() -> str:
    lines = [f"  {name:<10}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [flags]",
            "",
            "Captioned pictures to a served captioning model.",
            "",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` lists the flags of a command, `{PROGRAM} --version` the "
            "version.",
        ]
    )
