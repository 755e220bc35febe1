"""Draws captioned pictures with known contents, for offline tests of everything.

    python -m pipeline.drawn_pictures draw --output=DIR --count=1500 --seed=0
    python -m pipeline.drawn_pictures check --pictures=DIR --captions=captions-test.json

A picture shows one to three equal shapes, and its captions come from a small grammar. So a
generated caption is either true or false. Held-out pictures are new drawings, mostly of scenes that
the training split has too: `check` shows that a captioner sees, not that it generalizes. The files
have Flickr8k's layout, and a few are damaged on purpose:

    DIR/images/drawn_00000.jpg …     Flickr8k.token.txt     Flickr_8k.{train,dev,test}Images.txt
    DIR/truth.json                   image name -> the fields of its Scene; written last
    DIR/parameters.json              the parameters; written first

The pictures are made for convolutions with random weights and an 8x8 grid. Such weights hardly tell
a circle from a square, so there is a bar instead. Every shape is near a multiple of an eighth of
the frame, so that it looks alike to the grid's cells everywhere.
"""

import cmath
import io
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl.flags import argparse_flags
from PIL import Image, ImageDraw
from tqdm import tqdm

from tfrecords_schema.errors import InputError

VERSION = 1  # version of the pictures and sentences; raise it when either changes
COLORS = {
    "red": (225, 20, 20),
    "green": (0, 150, 40),
    "blue": (20, 50, 235),
    "yellow": (250, 200, 0),
    "pink": (245, 70, 200),
    "black": (15, 15, 15),
}
OUTLINES = {  # corners around 0, at a distance of about 1: x to the right, y j down
    "circle": [cmath.rect(1, math.tau * k / 60) for k in range(60)],
    "triangle": [-1j, 1 + 0.8j, -1 + 0.8j],
    "bar": [-0.95 - 0.4j, 0.95 - 0.4j, 0.95 + 0.4j, -0.95 + 0.4j],
    "cross": [  # an x: one quarter, rotated four times
        corner * 1j**quarter * cmath.rect(1, math.pi / 4)
        for quarter in range(4)
        for corner in (1 - 0.22j, 1 + 0.22j, 0.22 + 0.22j)
    ],
}
RADIUS = {"small": 0.063, "large": 0.104}  # relative to the frame's side, like all lengths here
CENTER = {  # center of the group, x + y j from the top left
    "left": 0.125 + 0.5j,
    "right": 0.875 + 0.5j,
    "top": 0.5 + 0.125j,
    "bottom": 0.5 + 0.875j,
    "middle": 0.5 + 0.5j,
}
STEP = {1: 0.0, 2: 0.5, 3: 0.375}  # distance between neighbouring shapes of a group
VALUES: dict[str, tuple[Any, ...]] = {
    "count": tuple(STEP),
    "size": tuple(RADIUS),
    "color": tuple(COLORS),
    "shape": tuple(OUTLINES),
    "position": tuple(CENTER),
}

COUNT_WORDS = {1: ("one", "a"), 2: ("two",), 3: ("three",)}
SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
PLACES = {
    **{side: (f"on the {side}", f"on the {side} side") for side in ("left", "right")},
    **{end: (f"at the {end}", f"near the {end}") for end in ("top", "bottom")},
    "middle": ("in the middle", "in the center"),
}
FRAMES = (  # no two can produce the same sentence
    "there {be} {count} {size} {color} {shape} {place} of the {picture}",
    "{count} {size} {color} {shape} {place}",
    "{count} {size} {color} {shape} {be} {place} of the {picture}",
    "{place} of the {picture} {be} {count} {size} {color} {shape}",
    "{place} we see {count} {color} {shape}",
    "this {picture} shows {count} {size} {color} {shape} {place}",
    "{a_picture} of {count} {size} {color} {shape}",
    "{a_picture} with {count} {color} {shape} {place}",
    "{count} {color} {shape} drawn {place} of a light background",
    "{count} {shape} {place} , {size} and {color}",
    "someone drew {count} {size} {color} {shape} {place}",
    "a light background behind {count} {size} {color} {shape}",
)
_MEANING: dict[str, tuple[str, Any]] = {  # word -> field and value
    **{value: (field, value) for field in VALUES for value in VALUES[field] if field != "count"},
    **{word: ("count", count) for count, words in COUNT_WORDS.items() for word in words},
    **{word: ("size", size) for size, words in SIZE_WORDS.items() for word in words},
    **{f"{shape}{plural}": ("shape", shape) for shape in OUTLINES for plural in ("s", "es")},
    "center": ("position", "middle"),
}


@dataclass(frozen=True)
class Scene:
    """The contents of a picture: equal shapes in a row, or in a column at the left and the right.

    Raises:
      InputError: the value of a field is not in VALUES.
    """

    count: int
    size: str
    color: str
    shape: str
    position: str

    def __post_init__(self) -> None:
        """Checks all values."""
        for field, values in VALUES.items():
            if getattr(self, field) not in values:
                raise InputError(f"{field}={getattr(self, field)!r}: must be one of {list(values)}")


def random_scene(rng: np.random.Generator) -> Scene:
    """A random scene; every field is uniform over its values."""
    return Scene(*(values[int(rng.integers(len(values)))] for values in VALUES.values()))


def draw(scene: Scene, rng: np.random.Generator, side: int = 96) -> Image.Image:
    """Draws an RGB picture of `scene`, `side` pixels wide and high.

    `rng` varies the exact positions, size, rotation, background tint and noise. The shapes touch
    neither each other nor the frame.
    """

    def vary(amount: float) -> float:
        return rng.uniform(-amount, amount)

    drawn_side = 4 * side  # the mask is drawn larger and reduced, for smooth edges
    mask = Image.new("L", (drawn_side, drawn_side))
    upright = scene.position in ("left", "right")
    if scene.position == "middle":
        upright = bool(rng.integers(2))
    along = 1j if upright else 1
    group = CENTER[scene.position] + complex(vary(0.007), vary(0.007))
    step = STEP[scene.count] + vary(0.002)
    radius = RADIUS[scene.size] * (1 + vary(0.01))
    for k in range(scene.count):
        center = group + (k - (scene.count - 1) / 2) * step * along
        center += complex(vary(0.003), vary(0.003))
        turned = cmath.rect(radius, math.radians(vary(4)))
        corners = [(center + c * turned) * drawn_side for c in OUTLINES[scene.shape]]
        ImageDraw.Draw(mask).polygon([(c.real, c.imag) for c in corners], fill=255)
    mask = mask.resize((side, side), Image.Resampling.BOX)
    ink = np.asarray(mask, np.float64)[:, :, None] / 255
    background = rng.uniform(235, 250, 3) + rng.normal(0, 2, (side, side, 1))
    pixels = background * (1 - ink) + np.array(COLORS[scene.color]) * ink
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), "RGB")


def describe(scene: Scene, rng: np.random.Generator, n: int = 5) -> list[str]:
    """`n` different true sentences about `scene`, in Flickr8k's style: "Two red circles ."

    All of them state count, color and shape; most also size and position.

    Raises:
      InputError: `n` is more than the number of sentence frames.
    """

    def one_of(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    if not 0 <= n <= len(FRAMES):
        raise InputError(f"n={n}: must be 0 to {len(FRAMES)}, the number of sentence frames")
    plural = "" if scene.count == 1 else "es" if scene.shape == "cross" else "s"
    sentences = []
    for i in rng.permutation(len(FRAMES))[:n]:
        sentence = FRAMES[i].format(
            be="is" if scene.count == 1 else "are",
            count=one_of(COUNT_WORDS[scene.count]),
            size=one_of(SIZE_WORDS[scene.size]),
            color=scene.color,
            shape=f"{scene.shape}{plural}",
            place=one_of(PLACES[scene.position]),
            picture=one_of(("picture", "image")),
            a_picture=one_of(("a picture", "an image")),
        )
        sentences.append(f"{sentence[0].upper()}{sentence[1:]} .")
    return sentences


def claims(caption: str) -> dict[str, tuple[Any, ...]]:
    """The claims of a caption: field of Scene -> the values it names, in order, with repeats.

    Case, punctuation and grammar ("two circle") do not matter. "A" counts only before a shape and
    its adjectives, not in "a picture of two circles".
    """
    words = re.findall(r"[a-z]+", caption.lower())
    meanings = [_MEANING.get(word, ("", None)) for word in words]
    said: dict[str, list[Any]] = {field: [] for field in VALUES}
    for i, (field, value) in enumerate(meanings):
        after = (f for f, _ in meanings[i + 1 :] if f not in ("size", "color"))
        if field and (words[i] != "a" or next(after, "") == "shape"):
            said[field].append(value)
    return {field: tuple(values) for field, values in said.items()}


def is_true(caption: str, scene: Scene) -> bool:
    """Whether `caption` names exactly the color, shape and count of `scene`.

    Each must be there, without a second value, and the count only once: "a circle and a circle" are
    two. Size and position are not checked.
    """
    said = claims(caption)
    exact = all(set(said[field]) == {getattr(scene, field)} for field in ("color", "shape"))
    return exact and said["count"] == (scene.count,)


def write_pictures(
    output: str | os.PathLike[str], count: int = 1500, seed: int = 0, damaged: int = 3
) -> None:
    """Draws `count` pictures with five captions each into the directory `output`.

    Four fifths are for training, a tenth each for development and test. `damaged` of them are, in
    turn and in every split, empty, truncated or no image at all; their captions stay. The same
    parameters give the same bytes. A complete drawing is not changed, an interrupted one is drawn
    again.

    Raises:
      InputError: a parameter is out of range, or `output` holds something else.
    """
    output, tenth = Path(output), count // 10
    if not 10 <= count <= 100_000:
        raise InputError(f"--count={count}: must be 10 to 100000")
    if seed < 0:
        raise InputError(f"--seed={seed}: must not be negative")
    if not 0 <= damaged <= 3 * (tenth - 1):  # every split keeps an intact picture
        raise InputError(f"--damaged={damaged}: must be 0 to {3 * (tenth - 1)} of {count}")
    images, truth, asked = output / "images", output / "truth.json", output / "parameters.json"
    parameters = {"version": VERSION, "count": count, "seed": seed, "damaged": damaged}
    if output.is_dir() and any(output.iterdir()):
        if not asked.is_file() or _read_json(asked) != parameters:
            raise InputError(
                f"--output={output}: holds something other than the drawing {parameters}; "
                "give a new or empty directory"
            )
        if truth.exists() and len(list(images.glob("*.jpg"))) == count:
            print(f"{output} holds these {count} pictures already: left as they are")
            return
        truth.unlink(missing_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    _write_json(asked, parameters)

    names = [f"drawn_{i:05}.jpg" for i in range(count)]
    shuffled = np.random.default_rng([seed, count]).permutation(names).tolist()
    splits = {
        "train": shuffled[2 * tenth :],
        "dev": shuffled[:tenth],
        "test": shuffled[tenth : 2 * tenth],
    }
    # Each three damaged pictures are in three splits; the next three change places.
    damage = {list(splits.values())[(i + i // 3) % 3][i // 3]: i % 3 for i in range(damaged)}
    scenes, lines = {}, []
    for i, name in enumerate(tqdm(names, desc="drawing", unit=" pictures")):
        rng = np.random.default_rng([seed, i])
        scene = random_scene(rng)
        file = io.BytesIO()  # no chroma subsampling, so that small shapes keep their color
        draw(scene, rng).save(file, "JPEG", quality=90, subsampling=0)
        jpeg = file.getvalue()
        if name in damage:
            jpeg = (b"", jpeg[: len(jpeg) // 2], b"This is not an image.\n")[damage[name]]
        (images / name).write_bytes(jpeg)
        scenes[name] = asdict(scene)
        lines += [f"{name}#{k}\t{sentence}" for k, sentence in enumerate(describe(scene, rng))]
    _write_lines(output / "Flickr8k.token.txt", lines)
    for split, members in splits.items():
        _write_lines(output / f"Flickr_8k.{split}Images.txt", sorted(members))
    _write_json(truth, scenes)


def check(pictures: str | os.PathLike[str], captions: str | os.PathLike[str]) -> float:
    """Prints how many captions are true of their picture, and up to three false ones.

    Args:
      pictures: a directory from `write_pictures`.
      captions: a JSON file of COCO results, `[{"image_id": "drawn_00042.jpg", "caption": …}]`.

    Returns:
      The fraction of captions that `is_true`, 0 to 1.

    Raises:
      InputError: a file holds something else, or an image is unknown or has two captions.
      OSError: a file cannot be read.
    """
    truth = Path(pictures) / "truth.json"
    try:
        scenes = {name: Scene(**fields) for name, fields in _read_json(truth).items()}
    except (AttributeError, TypeError) as error:
        raise InputError(f"{truth}: not the scenes of drawn pictures") from error
    said: dict[str, str] = {}
    results = _read_json(Path(captions))
    for result in results if isinstance(results, list) else [results]:
        match result:
            case {"image_id": str(name), "caption": str(caption)}:
                if name not in scenes or name in said:
                    problem = "captioned twice" if name in said else f"no picture of {pictures}"
                    raise InputError(f"{captions}: {name!r} is {problem}")
                said[name] = caption
            case _:
                wanted = '[{"image_id": "name.jpg", "caption": "words"}, …]'
                raise InputError(f"{captions}: must be {wanted}, has {str(result)[:80]}")
    if not said:
        raise InputError(f"{captions}: holds no captions")

    false = [name for name, caption in said.items() if not is_true(caption, scenes[name])]
    true = len(said) - len(false)
    print(f"{true / len(said):.1%} of {len(said)} captions tell color, shape and count as they are")
    for field in ("color", "shape", "count", "size", "position"):
        told = [(claims(said[name])[field], getattr(scenes[name], field)) for name in said]
        if field in ("size", "position"):
            told = [(values, value) for values, value in told if values]
        of = "captions" if len(told) == len(said) else "that mention it"
        exact = sum(set(values) == {value} for values, value in told)
        print(f"  {field:<8}  {exact / max(len(told), 1):6.1%} of {len(told)} {of}")
    for name in false[:3]:
        sentence = describe(scenes[name], np.random.default_rng(0), 1)[0]
        print(f"{name}\n  said: {said[name]}\n  true: {sentence}")
    return true / len(said)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, 1 for a share below --minimum, or 2 for invalid input."""
    parser = argparse_flags.ArgumentParser(
        prog="python -m pipeline.drawn_pictures",
        description="Draws captioned pictures, and checks captions against them.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("draw", allow_abbrev=False, inherited_absl_flags=None)
    sub.add_argument("--output", required=True, help="a new or empty directory")
    sub.add_argument("--count", type=int, default=1500, help="of pictures")
    sub.add_argument("--seed", type=int, default=0, help="another seed, other pictures")
    sub.add_argument("--damaged", type=int, default=3, help="files spoiled on purpose")
    sub = commands.add_parser("check", allow_abbrev=False, inherited_absl_flags=None)
    sub.add_argument("--pictures", required=True, help="the directory that `draw` wrote")
    sub.add_argument("--captions", required=True, help="JSON in the COCO results format")
    sub.add_argument("--minimum", type=float, default=0.9, help="fraction that must be true")
    args = parser.parse_args(argv)
    try:
        if args.command == "draw":
            write_pictures(args.output, args.count, args.seed, args.damaged)
            return 0
        if not 0 <= args.minimum <= 1:
            raise InputError(f"--minimum={args.minimum}: must be 0 to 1")
        return int(check(args.pictures, args.captions) < args.minimum)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".incomplete")  # renamed, so that the file is complete or absent
    _write_lines(temporary, [json.dumps(content, indent=1)])
    temporary.replace(path)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
