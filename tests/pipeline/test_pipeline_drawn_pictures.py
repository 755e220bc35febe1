"""Drawn pictures: what is drawn, said and judged, and the files around it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.drawn_pictures import (
    COLORS,
    FRAMES,
    VALUES,
    Scene,
    claims,
    describe,
    draw,
    is_true,
    main,
    random_scene,
    write_pictures,
)

SCENES = st.builds(Scene, **{field: st.sampled_from(values) for field, values in VALUES.items()})
SEEDS = st.integers(0, 2**32)
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn") / "pictures"
    write_pictures(directory, count=40, seed=3)
    return directory


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def split_names(directory: Path, split: str) -> list[str]:
    return (directory / f"Flickr_8k.{split}Images.txt").read_text().split()


def captions_file(directory: Path, path: Path, wrong: int = 0) -> str:
    truth = json.loads((directory / "truth.json").read_text())
    results = []
    for i, name in enumerate(split_names(directory, "train")[:10]):
        scene = Scene(**truth[name])
        if i < wrong:
            scene = replace(scene, color="red" if scene.color != "red" else "blue")
        caption = describe(scene, np.random.default_rng(i), 1)[0]
        results.append({"image_id": name, "caption": caption.lower().rstrip(" .")})
    path.write_text(json.dumps(results))
    return str(path)


def check(drawing, captions, *more) -> int:
    return main(["check", f"--pictures={drawing}", f"--captions={captions}", *more])


def ink(scene: Scene, picture: Image.Image) -> np.ndarray:
    """Where the picture has more of the scene's color than of the background, bool [96, 96]."""
    pixels = np.asarray(picture, np.float64)
    to_color = np.abs(pixels - np.array(COLORS[scene.color])).sum(-1)
    return to_color < np.abs(pixels - np.median(pixels, axis=(0, 1))).sum(-1)


def components(mask: np.ndarray) -> list[int]:
    """Sizes in pixels of the connected parts of a mask."""
    left, sizes = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        reached, size = [left.pop()], 0
        while reached:
            y, x = reached.pop()
            size += 1
            neighbors = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= neighbors
            reached.extend(neighbors)
        sizes.append(size)
    return sizes


@settings(max_examples=60, deadline=None)
@given(SCENES, SEEDS)
def test_a_picture_shows_its_count_of_equal_shapes_inside_the_frame(scene, seed):
    picture = draw(scene, np.random.default_rng(seed))
    assert (picture.mode, picture.size) == ("RGB", (96, 96))
    mask = ink(scene, picture)
    sizes = components(mask)
    assert len(sizes) == scene.count
    assert max(sizes) < 1.25 * min(sizes)
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert not edge.any()


@settings(max_examples=40, deadline=None)
@given(SCENES, SEEDS)
def test_a_picture_shows_its_position_and_color(scene, seed):
    picture = draw(scene, np.random.default_rng(seed))
    y, x = np.argwhere(ink(scene, picture)).mean(axis=0) / 96
    near = {"left": x < 0.3, "right": x > 0.7, "top": y < 0.3, "bottom": y > 0.7}
    near["middle"] = not any(near.values())
    assert near[scene.position]
    colors = np.asarray(picture)[ink(scene, picture)].astype(np.int64)
    distances = [
        np.abs(np.median(colors, axis=0) - np.array(color)).sum() for color in COLORS.values()
    ]
    assert list(COLORS)[int(np.argmin(distances))] == scene.color


@pytest.mark.parametrize("shape", VALUES["shape"])
def test_large_shapes_have_over_twice_the_area_of_small_ones(shape):
    areas = {
        size: ink(s := Scene(1, size, "blue", shape, "middle"), draw(s, np.random.default_rng(0)))
        for size in VALUES["size"]
    }
    assert areas["large"].sum() > 2 * areas["small"].sum()


def test_equal_scenes_are_drawn_differently_and_equal_seeds_equally():
    scene = Scene(2, "small", "red", "circle", "left")
    first, again, other = (draw(scene, np.random.default_rng(s)).tobytes() for s in (0, 0, 1))
    assert first == again != other


def test_random_scenes_take_every_value():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(300)]
    for field, values in VALUES.items():
        assert {getattr(scene, field) for scene in scenes} == set(values)


def test_a_scene_refuses_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"color='mauve': must be one of \['red'"):
        Scene(1, "small", "mauve", "circle", "left")


@settings(deadline=None)
@given(SCENES, SEEDS)
def test_sentences_are_different_and_true_of_their_scene_alone(scene, seed):
    sentences = describe(scene, np.random.default_rng(seed), len(FRAMES))
    assert len(set(sentences)) == len(FRAMES)
    for sentence in sentences:
        assert sentence[0].isupper() and sentence.endswith(" .")
        assert not any(character.isdigit() for character in sentence)
        for text in (sentence, sentence.lower().replace(",", "").rstrip(" .")):
            assert is_true(text, scene)
            said = claims(text)
            for field in ("size", "position"):
                assert said[field] in ((), (getattr(scene, field),))
            for field in ("color", "shape", "count"):
                for value in set(VALUES[field]) - {getattr(scene, field)}:
                    assert not is_true(text, replace(scene, **{field: value}))


def test_most_sentences_mention_size_and_position():
    for field in ("size", "position"):
        slot = {"size": "{size}", "position": "{place}"}[field]
        assert sum(slot in frame for frame in FRAMES) > len(FRAMES) / 2


def test_the_vocabulary_is_small():
    rng = np.random.default_rng(0)
    sentences = [s for _ in range(500) for s in describe(random_scene(rng), rng)]
    assert 45 <= len({word for s in sentences for word in s.lower().split()}) <= 70


def test_describe_refuses_more_sentences_than_frames():
    scene = Scene(1, "small", "red", "circle", "left")
    with pytest.raises(ValueError, match=f"n=99: must be 0 to {len(FRAMES)}"):
        describe(scene, np.random.default_rng(0), 99)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a picture of one red circle", True),
        ("A small, red circle.", True),
        ("an image of a circle , small and red", True),
        ("one red circle on the right", True),  # position is reported, not promised
        ("red circle", False),
        ("one circle", False),
        ("one red", False),
        ("one red blue circle", False),
        ("one red circle and a red bar", False),
        ("a red circle and a red circle", False),
        ("two red circles", False),
        ("", False),
        ("<unk> <unk>", False),
    ],
)
def test_is_true_judges_generated_captions(caption, expected):
    assert is_true(caption, Scene(1, "small", "red", "circle", "left")) is expected


def test_claims_keep_order_and_repeats():
    said = claims("Two big red red circles in the center")
    assert said == {
        "count": (2,),
        "size": ("large",),
        "color": ("red", "red"),
        "shape": ("circle",),
        "position": ("middle",),
    }


def test_the_same_seed_gives_the_same_bytes(drawing, tmp_path):
    write_pictures(tmp_path / "again", count=40, seed=3)
    write_pictures(tmp_path / "other", count=40, seed=4)
    assert digests(tmp_path / "again") == digests(drawing) != digests(tmp_path / "other")


def test_no_two_pictures_are_equal(drawing):
    images = [path.read_bytes() for path in (drawing / "images").iterdir()]
    assert len(images) == len(set(images)) == 40


def test_the_layout_is_flickr8k(drawing):
    truth = json.loads((drawing / "truth.json").read_text())
    rows = [line.split("\t") for line in (drawing / "Flickr8k.token.txt").read_text().splitlines()]
    assert [key for key, _ in rows] == [f"{name}#{k}" for name in sorted(truth) for k in range(5)]
    assert len({tuple(row) for row in rows}) == 200
    for key, caption in rows:
        assert is_true(caption, Scene(**truth[key.split("#")[0]]))
    assert sorted(truth) == sorted(path.name for path in (drawing / "images").iterdir())


def test_the_splits_are_disjoint_and_complete(drawing):
    splits = [split_names(drawing, split) for split in SPLITS]
    assert [len(names) for names in splits] == [32, 4, 4]
    assert sorted(name for names in splits for name in names) == [
        f"drawn_{i:05}.jpg" for i in range(40)
    ]


def test_three_files_are_damaged_one_in_each_split(drawing):
    damaged = {}
    for split in SPLITS:
        for name in split_names(drawing, split):
            try:
                with Image.open(drawing / "images" / name) as image:
                    image.load()
                    assert image.size == (96, 96)
            except OSError:
                damaged.setdefault(split, []).append((drawing / "images" / name).read_bytes())
    (empty,), (cut,), (text,) = (damaged[split] for split in SPLITS)
    assert empty == b""
    assert cut.startswith(b"\xff\xd8") and b"\xff\xda" in cut and not cut.endswith(b"\xff\xd9")
    assert not text.startswith(b"\xff\xd8") and text


def test_a_complete_drawing_is_left_alone(tmp_path, capsys):
    write_pictures(tmp_path, count=10, damaged=0)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_pictures(tmp_path, count=10, damaged=0)
    assert "left as they are" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_an_interrupted_drawing_is_completed(tmp_path):
    write_pictures(tmp_path, count=10, damaged=0)
    complete = digests(tmp_path)
    (tmp_path / "truth.json").unlink()
    (tmp_path / "images" / "drawn_00007.jpg").unlink()
    write_pictures(tmp_path, count=10, damaged=0)
    assert digests(tmp_path) == complete


@pytest.mark.parametrize("name", ["holiday.jpg", "parameters.json"])
def test_a_foreign_directory_is_refused(tmp_path, name):
    (tmp_path / name).write_text("not ours")
    with pytest.raises(ValueError, match=str(tmp_path)):
        write_pictures(tmp_path, count=10, damaged=0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_drawing_with_other_parameters_is_refused(tmp_path):
    write_pictures(tmp_path, count=10, damaged=0)
    with pytest.raises(ValueError, match=str(tmp_path)):
        write_pictures(tmp_path, count=10, seed=1, damaged=0)


@pytest.mark.parametrize("flag", ["count=9", "count=100001", "seed=-1", "damaged=10"])
def test_draw_names_a_bad_flag(tmp_path, capsys, flag):
    flags = ["--count=40", f"--{flag}"]
    assert main(["draw", f"--output={tmp_path / 'new'}", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"error: --{flag}: must")
    assert not (tmp_path / "new").exists()


def test_check_passes_at_the_minimum_and_fails_below(drawing, tmp_path, capsys):
    captions = captions_file(drawing, tmp_path / "captions.json", wrong=1)
    assert check(drawing, captions, "--minimum=0.9") == 0
    out = capsys.readouterr().out
    assert out.startswith("90.0% of 10 captions") and "color      90.0% of 10" in out
    assert "shape     100.0% of 10" in out and "position  100.0%" in out
    assert check(drawing, captions, "--minimum=0.95") == 1


def test_check_shows_up_to_three_false_captions_beside_a_true_one(drawing, tmp_path, capsys):
    captions = captions_file(drawing, tmp_path / "captions.json", wrong=5)
    assert check(drawing, captions) == 1
    out = capsys.readouterr().out
    assert out.count("  said: ") == out.count("  true: ") == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "holds no captions"),
        ("{}", "must be"),
        ("[1]", "must be"),
        ('[{"image_id": 7, "caption": "x"}]', "must be"),
        ('[{"image_id": "x.jpg", "caption": "x"}]', "'x.jpg' is no picture of"),
    ],
)
def test_check_names_unusable_captions(drawing, tmp_path, capsys, content, message):
    path = tmp_path / "captions.json"
    path.write_text(content)
    assert check(drawing, path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}") and message in error and error.count("\n") == 1


def test_check_refuses_two_captions_of_an_image(drawing, tmp_path, capsys):
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([{"image_id": "drawn_00001.jpg", "caption": "x"}] * 2))
    assert check(drawing, path) == 2
    assert "'drawn_00001.jpg' is captioned twice" in capsys.readouterr().err


def test_check_names_missing_and_foreign_files(drawing, tmp_path, capsys):
    assert check(drawing, tmp_path / "none.json") == 2
    assert "none.json" in capsys.readouterr().err
    captions = captions_file(drawing, tmp_path / "captions.json")
    assert check(tmp_path, captions) == 2
    assert "truth.json" in capsys.readouterr().err
    for foreign in ("[]", '{"x.jpg": 1}', '{"x.jpg": {"count": 1}}'):
        (tmp_path / "truth.json").write_text(foreign)
        assert check(tmp_path, captions) == 2
        assert "truth.json: not the scenes" in capsys.readouterr().err
    assert check(drawing, captions, "--minimum=90") == 2
    assert "--minimum=90.0: must be 0 to 1" in capsys.readouterr().err


def test_the_command_line_takes_no_abbreviations(tmp_path):
    with pytest.raises(SystemExit) as exit:
        main(["draw", f"--out={tmp_path}"])
    assert exit.value.code == 2
