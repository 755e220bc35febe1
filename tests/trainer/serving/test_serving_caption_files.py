"""`trainer caption`: names in, captions out, and one line for each thing that is wrong.

The model is a stand-in with an export's signature: it says what a file holds.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from commands import complaint

from trainer.command import main
from trainer.serving import picture_files
from trainer.serving.captioner import BATCH

SCORES = [-0.25, -1.5]


class Sayer(tf.Module):
    """Captions that say a file's content; `bad` is an error, and a JPEG is decoded."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(SCORES)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False
    )
    def caption(self, image_bytes):
        def says(content):
            is_jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
            return tf.cond(
                is_jpeg,
                lambda: tf.strings.as_string(tf.shape(tf.io.decode_jpeg(content))[0]),
                lambda: content,
            )

        text = tf.map_fn(says, image_bytes)
        error = tf.where(tf.strings.regex_full_match(text, "bad.*"), "is bad", "")
        both = tf.stack(["सफेद, " + text, text], axis=1)
        return {
            "captions": tf.where((error == "")[:, None], both, ""),
            "log_probs": tf.where((error == "")[:, None], self.weight[None], 0.0),
            "error": error,
        }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A directory of versions: 2 is a version, 10 the latest, 11 has nothing in it."""
    directory = tmp_path_factory.mktemp("model")
    sayer = Sayer()
    for version in ("2", "10"):
        signatures = {"serving_default": sayer.caption}
        tf.saved_model.save(sayer, str(directory / version), signatures=signatures)
    (directory / "11").mkdir()
    return str(directory)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures at two depths, a bad one, and files that are no pictures; it is the working one."""
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", "notes.txt", "deep/d.gif"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (tmp_path / "pictures/bad.jpeg").write_text("bad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def captioned(model, capsys, *arguments, status=0):
    """What `caption` prints and its errors; `status` is that which it ends with."""
    arguments = ["caption", f"--model={model}/10", *arguments]
    if status:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == status
    else:
        main(arguments)
    printed = capsys.readouterr()
    return printed.out.splitlines(), printed.err.splitlines()


def line(name):
    return f"{name}\tसफेद, content of {name.removeprefix('pictures/')}"


def test_a_folder_stands_for_the_pictures_at_any_depth_below_it(model, folder, capsys):
    out, err = captioned(model, capsys, "pictures", "pictures/notes.txt", status=1)
    names = ["a.PNG", "b.jpg", "deep/d.gif", "deep/er/c.webp", "notes.txt"]
    assert out == [line(f"pictures/{name}") for name in names]  # the last was asked for by name
    assert err == ["error: pictures/bad.jpeg: is bad"]


def test_a_link_that_leads_back_is_followed_once(model, folder, capsys):
    os.makedirs("linked/deep")
    os.symlink(folder / "pictures" / "b.jpg", "linked/deep/b.jpg")
    os.symlink("..", "linked/deep/back")
    [row] = captioned(model, capsys, "linked")[0]
    assert row.split("\t")[0] == "linked/deep/b.jpg"


def test_a_pattern_stands_for_the_files_it_matches_and_a_name_with_wildcards_for_itself(
    model, folder, capsys
):
    out, _ = captioned(model, capsys, "pictures/*.[jP]*[gG]", "pictures/b.jpg", status=1)
    assert out == [line(f"pictures/{name}") for name in ("a.PNG", "b.jpg", "b.jpg")]
    out, _ = captioned(model, capsys, "pictures/deep/**")
    assert out == [line(f"pictures/deep/{name}") for name in ("d.gif", "er/c.webp")]
    (folder / "[ab].jpg").write_text("itself")
    assert captioned(model, capsys, "[ab].jpg")[0] == ["[ab].jpg\tसफेद, itself"]


def test_names_come_from_standard_input(model, folder, capsys, monkeypatch):
    names = b"pictures/b.jpg\r\n\npictures/deep\nmissing.jpg"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    out, err = captioned(model, capsys, "pictures/a.PNG", "-", "pictures/notes.txt", status=1)
    found = ["a.PNG", "b.jpg", "deep/d.gif", "deep/er/c.webp", "notes.txt"]
    assert out == [line(f"pictures/{name}") for name in found]
    assert err == ["error: missing.jpg: No such file or directory"]


def test_names_that_stand_for_no_picture_cost_a_line_and_other_pictures_are_captioned(
    model, folder, capsys
):
    os.makedirs("empty/x.jpg")
    os.symlink("nowhere", "link.jpg")
    arguments = ["empty", "no/*.jpg", "pictures/b.jpg", "link.jpg", "\0", "gs://", "pic\n\t.jpg"]
    out, err = captioned(model, capsys, *arguments, status=1)
    assert out == [line("pictures/b.jpg")]
    assert err[0].startswith("error: empty: the folder has no picture, a file that ends in .jpg, ")
    assert err[1:4] == [
        "error: no/*.jpg: the pattern matches no file",
        "error: link.jpg: No such file or directory",
        "error: \0: embedded null byte",
    ]
    assert err[4].startswith("error: gs://: ") and err[4].count("gs://") == 1
    assert err[5:] == [r"error: pic\n\t.jpg: No such file or directory"]


def test_a_folder_that_may_not_be_read_is_named(model, folder, capsys, monkeypatch):
    def walk(folder, onerror, followlinks):
        yield folder, ["a", "b"], ["b.jpg"]
        onerror(PermissionError(13, "Permission denied", f"{folder}/a"))

    monkeypatch.setattr(picture_files.os, "walk", walk)  # root may read all
    out, err = captioned(model, capsys, "pictures", status=1)
    assert out == [line("pictures/b.jpg")]
    assert err == ["error: pictures/a: Permission denied"]


def test_jsonl_has_a_row_a_file_with_all_beams(model, folder, capsys):
    out, err = captioned(model, capsys, "--format=jsonl", "pictures", "no.jpg", status=1)
    rows = [json.loads(text) for text in out]
    files = ["a.PNG", "b.jpg", "bad.jpeg", "deep/d.gif", "deep/er/c.webp"]
    assert [row["file"] for row in rows] == [*(f"pictures/{name}" for name in files), "no.jpg"]
    content = "content of a.PNG"
    assert rows[0] == {
        "file": "pictures/a.PNG",
        "captions": [f"सफेद, {content}", content],
        "log_probs": SCORES,
        "error": "",
    }
    assert rows[2] == {
        "file": "pictures/bad.jpeg", "captions": [], "log_probs": [], "error": "is bad"
    }  # fmt: skip
    assert rows[5]["error"] == "No such file or directory"
    assert "सफेद" in out[0]  # readable as it stands
    assert len(err) == 2


def test_csv_has_a_row_a_beam(model, folder, capsys):
    (folder / 'a "b",c.jpg').write_text("x, y")
    out, _ = captioned(model, capsys, "--format=csv", 'a "b",c.jpg', "no.jpg", status=1)
    assert list(csv.DictReader(out)) == [
        {"file": 'a "b",c.jpg', "rank": "1", "caption": "सफेद, x, y", "log_prob": "-0.25",
         "error": ""},
        {"file": 'a "b",c.jpg', "rank": "2", "caption": "x, y", "log_prob": "-1.5", "error": ""},
        {"file": "no.jpg", "rank": "", "caption": "", "log_prob": "",
         "error": "No such file or directory"},
    ]  # fmt: skip


def test_files_of_several_batches_keep_their_order(model, tmp_path, capsys):
    count = 2 * BATCH + 3
    for i in range(count):
        (tmp_path / f"{i:03}.jpg").write_text("bad" if i in (0, BATCH, count - 1) else str(i))
    out, err = captioned(model, capsys, str(tmp_path), status=1)
    good = [i for i in range(count) if i not in (0, BATCH, count - 1)]
    assert out == [f"{tmp_path}/{i:03}.jpg\tसफेद, {i}" for i in good]
    assert [text.split(":")[1] for text in err] == [
        f" {tmp_path}/{i:03}.jpg" for i in (0, BATCH, count - 1)
    ]


def test_the_directory_of_versions_stands_for_its_latest(model, folder, capsys):
    main(["caption", f"--model={model}", "pictures/b.jpg"])
    printed = capsys.readouterr()
    assert printed.out == line("pictures/b.jpg") + "\n"
    assert printed.err == f"--model: the latest version is taken, {model}/10\n"


def test_a_directory_without_a_whole_export_is_told_in_one_line(model, tmp_path, capsys):
    def error(path):
        text = complaint(main, capsys, "caption", f"--model={path}", "x.jpg")
        assert text.startswith(f"error: --model: {path}") and text.count("\n") == 1
        return text

    assert "does not exist; give an exported version" in error(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "is a file; give" in error(tmp_path / "file")
    os.makedirs(tmp_path / "versions" / "1")
    assert "holds no exported model" in error(tmp_path / "versions")
    with open(f"{model}/10/saved_model.pb", "rb") as file:
        whole = file.read()
    weights = "variables/variables.data-00000-of-00001"
    with open(f"{model}/10/{weights}", "rb") as file:
        values = file.read()
    halves = [  # of which file what is left, and what is said
        ("saved_model.pb", b"", "saved_model.pb is missing or empty: export the run again"),
        ("saved_model.pb", whole[: len(whole) // 2], "is damaged: Cannot parse file b'saved_model"),
        ("saved_model.pb", b"\xff" * 99, "is damaged: Cannot parse file"),
        ("variables/variables.index", None, "variables/variables.index is missing or empty"),
        ("variables/variables.index", b"x", "is damaged: "),
        (weights, None, f"{weights} is missing or empty"),
        (weights, b"short", "is damaged: Read less bytes than requested"),
        (weights, b"flip" + values[4:], "is damaged: TensorBundle at variables/variables shard 0"),
    ]
    for i, (name, content, expected) in enumerate(halves):
        copy = tmp_path / f"half{i}"
        shutil.copytree(f"{model}/10", copy)
        if content is None:
            (copy / name).unlink()
        else:
            (copy / name).write_bytes(content)
        text = error(copy)
        assert expected in text and text.count(str(copy)) == 1
    other = tf.Module()
    other.f = tf.function(lambda x: {"y": x}, [tf.TensorSpec([], tf.float32)], autograph=False)
    tf.saved_model.save(other, str(tmp_path / "other"), signatures={"serving_default": other.f})
    assert "a SavedModel, but none that `beamcap export` has written" in error(tmp_path / "other")
    other.f = tf.function(
        lambda x: {"captions": x[:, None], "log_probs": tf.zeros([1, 1])},
        [tf.TensorSpec([None], tf.string, name="image_bytes")],
        autograph=False,
    )
    tf.saved_model.save(other, str(tmp_path / "older"), signatures={"serving_default": other.f})
    assert "no output `error`: export the run again" in error(tmp_path / "older")


@pytest.fixture
def odd_names(tmp_path):
    """A folder of JPEGs: the name of one is no UTF-8, and libjpeg warns of the other's content."""
    pixels = np.random.default_rng(1).integers(0, 256, [64, 64, 3], np.uint8)
    jpeg = tf.io.encode_jpeg(pixels, quality=95).numpy()
    for name, content in ((b"\xff.jpg", jpeg), (b"a.jpg", jpeg[:-300] + jpeg[-2:])):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(content)
    return tmp_path


def test_a_name_that_is_no_utf8_is_the_same_bytes_and_libraries_are_quiet(
    model, odd_names, capfdbinary
):
    main(["caption", f"--model={model}/10", str(odd_names)])
    out, err = capfdbinary.readouterr()
    start = os.fsencode(odd_names)
    caption = "\tसफेद, 64\n".encode()
    assert out == start + b"/a.jpg" + caption + start + b"/\xff.jpg" + caption
    assert err == b""
    main(["caption", f"--model={model}/10", "--format=jsonl", str(odd_names)])
    rows = [json.loads(row) for row in capfdbinary.readouterr().out.decode("utf-8").splitlines()]
    assert [os.fsencode(row["file"])[-6:] for row in rows] == [b"/a.jpg", b"/\xff.jpg"]


def test_a_reader_of_standard_output_may_leave_early(model, odd_names):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "trainer", "caption", f"--model={model}/10", str(odd_names)]
    left = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (left.returncode, left.stderr) == (141, b"")


def test_a_full_disk_is_one_line(model, odd_names, capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        error = complaint(main, capsys, "caption", f"--model={model}/10", str(odd_names))
    assert error == "error: standard output cannot be written to: No space left on device\n"
