"""The flags of the trainer's commands that are not part of a configuration."""

import dataclasses

from tfrecords_schema.flags import REQUIRED, flag
from tfrecords_schema.image_formats import DEFAULT_FORMATS, parse_formats
from tfrecords_schema.shards import SPLITS
from trainer.recipes import RECIPES

CAPTION_FORMATS = ("text", "jsonl", "csv")


@dataclasses.dataclass(frozen=True)
class RecipeFlag:
    """The recipe that sets the defaults."""

    recipe: str = flag(
        "",
        "where the other flags have their defaults from; default: that of --objective or --model, "
        "else attend",
        "recipe",
        choices=("", *RECIPES),
    )


@dataclasses.dataclass(frozen=True)
class WorkersFlag:
    """The number of processes that `launch` starts."""

    workers: int = flag(2, "processes on this machine", "devices", least=1)


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The trained run that a command reads."""

    run: str = flag(REQUIRED, "directory of a trained run", "data and run", path=True)
    data: str = flag(
        "", "dataset directory, where it has moved since training", "data and run", path=True
    )


@dataclasses.dataclass(frozen=True)
class SplitFlag:
    """The split that `evaluate` captions."""

    split: str = flag("test", "split to caption", "data and run", choices=SPLITS)


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """The output of an export, and the image formats that it reads."""

    output: str = flag(
        REQUIRED, "directory of versions, as TensorFlow Serving wants it", "output", path=True
    )
    formats: tuple[str, ...] = flag(
        DEFAULT_FORMATS,
        "image formats that the export reads; webp needs TensorFlow 2.20",
        "output",
        parse=parse_formats,
    )


@dataclasses.dataclass(frozen=True)
class CaptionFlags:
    """The export that captions images, and the format of the output."""

    model: str = flag(
        REQUIRED, "an exported version, such as EXPORT/1; EXPORT: its latest", "model", path=True
    )
    format: str = flag(
        "text",
        "text: file, tab, best caption; jsonl and csv: all beams and their scores",
        "output",
        choices=CAPTION_FORMATS,
    )
