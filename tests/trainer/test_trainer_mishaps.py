"""Storage that lies: damaged files, full disks, stores that are not there.

Whatever happens to a file of a dataset, a run or an export, the command says so in one line that
names the file, without a trace and with status 2; and where the file is whole again, the same
command goes on.
"""

import errno
import json
import os
import resource
import shutil

import pytest
import tensorflow as tf
from commands import complaint
from small_configs import train_config

import trainer.export.export_run
from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from trainer.command import main, to_arguments
from trainer.models.make_model import read_encoder

LAST, BEFORE = "run/checkpoints/step-000000024", "run/checkpoints/step-000000012"
STATE = "state.data-00000-of-00001"
WEIGHTS = "weights.data-00000-of-00001"
VARIABLES = "variables/variables.data-00000-of-00001"
TRAIN_SHARD = "data/captions-train.tfrecord-00002-of-00004"
VALIDATION_SHARD = "data/captions-validation.tfrecord-00000-of-00001"
TEST_SHARD = "data/captions-test.tfrecord-00000-of-00001"
ANEW = "give the command of its pipeline again"


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def cut(content):
    return content[: len(content) // 2]


def emptied(content):
    return b""


def zeros(content):
    return bytes(len(content))


def missing(content):
    return None


def not_utf8(content):
    return content[:20] + b"\xff\xfe" + content[20:]


def text(new):
    return lambda _: new.encode()


def fields(change):
    def changed(content):
        read = json.loads(content)
        change(read)
        return json.dumps(read).encode()

    return changed


DATASET_ROWS = [  # file, what happens to it, what the line says beside the file
    (TRAIN_SHARD, cut, ["bytes, the manifest says", ANEW]),
    (TRAIN_SHARD, emptied, ["has 0 bytes", ANEW]),
    (TRAIN_SHARD, missing, ["is missing", ANEW]),
    (VALIDATION_SHARD, flipped, ["is damaged: record", "(corrupted record at", ANEW]),
    (TEST_SHARD, missing, ["is missing", ANEW]),
    ("data/manifest.json", text("{nope"), ["is damaged: it is not valid JSON", ANEW]),
    ("data/manifest.json", text("[1]"), ["it holds [1] and no JSON object", ANEW]),
    ("data/manifest.json", cut, ["is not valid JSON", ANEW]),
    ("data/manifest.json", zeros, ["is not valid JSON", ANEW]),
    ("data/manifest.json", not_utf8, ["is not valid JSON", ANEW]),
    ("data/manifest.json", missing, ["run the same pipeline command again"]),
    ("data/manifest.json", fields(lambda f: f.pop("books")), ["field 'books' is missing", ANEW]),
    (
        "data/manifest.json",
        fields(lambda f: f["splits"]["train"][0].update(images="12")),
        ["field splits.train.images is '12', it must be of type int", ANEW],
    ),
    (
        "data/manifest.json",
        fields(lambda f: f.update(vocabulary_size=99)),
        ["the vocabulary has 99 tokens", "vocabulary.txt has 57", ANEW],
    ),
    (
        "data/manifest.json",
        fields(lambda f: f.update(schema_version=7)),
        ["has schema version 7, this beamcap reads 1", "write the dataset again"],
    ),
    ("data/vocabulary.txt", flipped, ["is not the vocabulary", ANEW]),
    ("data/vocabulary.txt", cut, ["data/vocabulary.txt", ANEW]),
    ("data/vocabulary.txt", missing, ["does not exist", ANEW]),
]
EPOCH_ROWS = [  # what nothing reads before a first step, where the output's bias starts at 0
    (TRAIN_SHARD, flipped, ["--data: shard", "is damaged: record", "pipeline.verify", ANEW]),
    (
        "data/manifest.json",
        fields(lambda f: f["encoder"].update(feature_shape=[8, 8, 64])),
        ["is not as manifest.json says: record 1 of"],
    ),
]
RUN_ROWS = [
    ("run/config.json", cut, ["is not valid JSON", "with the very flags"]),
    ("run/config.json", emptied, ["is not valid JSON", "with the very flags"]),
    ("run/config.json", text("[]"), ["holds [] and no JSON object", "with the very flags"]),
    (
        "run/config.json",
        fields(lambda f: f.update(surprise=1)),
        ["field surprise is unknown", "use the version that wrote it"],
    ),
    ("run/config.json", fields(lambda f: f.pop("seed")), ["field seed is missing", "new --run"]),
    (
        "run/config.json",
        fields(lambda f: f["model_config"].update(units="many")),
        ["field model_config.units is 'many'", "new --run"],
    ),
    ("run/config.json", fields(lambda f: f.update(model="gpt")), ["--model='gpt'", "new --run"]),
]
LOG_ROWS = [
    ("run/metrics.jsonl", text("{nope\n"), ["line 1 of", "Remove the line"]),
    ("run/metrics.jsonl", not_utf8, ["line 1 of", "Remove the line"]),
    ("run/metrics.jsonl", text("[]\n"), ["line 1 of", "Remove the line"]),
]
BEST_ROWS = [
    ("run/best/" + WEIGHTS, flipped, ["best/weights is damaged", "last checkpoint"]),
    ("run/best/" + WEIGHTS, cut, ["best/weights is damaged", "last checkpoint"]),
    ("run/best/" + WEIGHTS, missing, ["best/weights is damaged", "last checkpoint"]),
    ("run/best/weights.index", flipped, ["best/weights is damaged", "last checkpoint"]),
    ("run/best/weights.index", missing, ["best/weights is damaged", "last checkpoint"]),
    (TEST_SHARD, flipped, ["--data: shard", "is damaged: record", "pipeline.verify", ANEW]),
    ("run/config.json", missing, ["run has no config.json"]),
]
ENCODER_ROWS = [
    ("data/image_encoder/saved_model.pb", cut, ["is damaged"]),
    ("data/image_encoder/saved_model.pb", emptied, ["is damaged"]),
    ("data/image_encoder/saved_model.pb", missing, ["is damaged"]),
    ("data/image_encoder/" + VARIABLES, flipped, ["is damaged"]),
    ("data/image_encoder/" + VARIABLES, missing, ["is damaged"]),
]
EXPORT_ROWS = [
    ("export/1/saved_model.pb", cut, ["--model:", "export the run again"]),
    ("export/1/saved_model.pb", missing, ["--model:", "give a version"]),
    ("export/1/" + VARIABLES, flipped, ["--model:", "export the run again"]),
    ("export/1/" + VARIABLES, missing, ["--model:", "export the run again"]),
    ("export/1/variables/variables.index", emptied, ["--model:", "export the run again"]),
]


@pytest.fixture(scope="module")
def originals(dataset, trained_run, tmp_path_factory):
    """Copies of the dataset and the run, with nothing between them and this module's damage."""
    place = tmp_path_factory.mktemp("originals")
    shutil.copytree(dataset, place / "data")
    shutil.copytree(trained_run, place / "run")
    return place


@pytest.fixture
def place(originals, tmp_path, monkeypatch):
    """A directory with whole copies of them; scores are made without Java, which is slow."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(trainer.export.export_run, "check_export", lambda *_: 1)  # starts a process
    return tmp_path


def train_flags(place, run="run", **changes):
    return ["train", *to_arguments(train_config(place / "data", place / run, **changes))]


def run_flags(command, place, *more):
    flags = [f"--run={place / 'run'}", f"--data={place / 'data'}", "--beam_width=1"]
    return [command, *flags, "--max_words=4", *more]


def assert_each_is_named(place, capsys, rows, command):
    """Damages one file after the other, and makes it whole again."""
    for name, happens, expected in rows:
        path = place / name
        content = path.read_bytes()
        path.unlink()
        if (new := happens(content)) is not None:
            path.write_bytes(new)
        line = complaint(main, capsys, *command)
        case = f"{name}, {happens.__name__}: {line}"
        assert line.startswith("error: ") and line.count("\n") == 1, case
        # Of a SavedModel or a checkpoint it is the directory that is named.
        assert any(str(each) in line for each in (path, *path.parents[:2]) if each != place), case
        for part in expected:
            assert part in line, case
        path.write_bytes(content)


@pytest.fixture
def largest_file():
    """A function that limits the size of files, which stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_each_damaged_file_of_a_dataset_is_named_by_the_command_that_trains_on_it(place, capsys):
    command = train_flags(place)
    assert_each_is_named(place, capsys, DATASET_ROWS, command)
    main(command)
    assert "Training ended" in capsys.readouterr().out


@pytest.mark.slow
def test_failures_at_the_end_of_an_epoch_are_named_and_the_run_goes_on(place, capsys, largest_file):
    command = train_flags(place, "new", epochs=1, output_bias=False)
    assert_each_is_named(place, capsys, EPOCH_ROWS, command)
    for size, name in [(500, "config.json"), (3000, "best/weights")]:
        largest_file(size)
        line = complaint(main, capsys, *command)
        largest_file(resource.RLIM_INFINITY)
        assert line.count("\n") == 1 and line.startswith("error: ")
        assert f"{place / 'new' / name}: File too large" in line
    assert not list((place / "new").rglob("*incomplete*"))
    main(command)
    assert "Training ended" in capsys.readouterr().out


def test_each_damaged_file_of_a_run_is_named_by_the_command_that_continues_it(place, capsys):
    assert_each_is_named(place, capsys, RUN_ROWS + LOG_ROWS, train_flags(place))
    main(train_flags(place))
    assert "Training ended" in capsys.readouterr().out


def test_each_damaged_file_of_a_run_is_named_by_evaluation(place, capsys):
    command = run_flags("evaluate", place, "--split=test")
    assert_each_is_named(place, capsys, RUN_ROWS + BEST_ROWS, command)
    main(command)
    assert "Scores: " in capsys.readouterr().out


def test_damage_of_the_initial_run_is_named_by_the_run_that_starts_from_it(place, capsys):
    command = train_flags(place, "new", epochs=1, initial_run=str(place / "run"))
    rows = [row for row in RUN_ROWS + BEST_ROWS if row[0].startswith("run/")]
    rows = [(name, happens, ["error: --initial_run: "]) for name, happens, _ in rows]
    assert_each_is_named(place, capsys, rows, command)
    assert not (place / "new").exists()


@pytest.mark.slow
def test_each_damaged_file_of_an_export_and_of_its_encoder_is_named(place, pictures, capsys):
    command = run_flags("export", place, f"--output={place / 'export'}")
    assert_each_is_named(place, capsys, ENCODER_ROWS, command)
    assert not (place / "export").exists() or not os.listdir(place / "export")
    main(command)
    assert f"Exported: {place / 'export' / '1'}" in capsys.readouterr().out
    picture = os.path.join(pictures, "images", sorted(os.listdir(f"{pictures}/images"))[0])
    command = ["caption", f"--model={place / 'export' / '1'}", picture]
    assert_each_is_named(place, capsys, EXPORT_ROWS, command)
    main(command)
    assert os.path.basename(picture) in capsys.readouterr().out


def test_a_damaged_cnn_of_a_dataset_of_images_is_named(place):
    path = place / "data" / "image_encoder.keras"
    content = path.read_bytes()
    for happens in (flipped, cut, emptied, missing):
        path.unlink()
        if (new := happens(content)) is not None:
            path.write_bytes(new)
        with pytest.raises(InputError) as error:
            read_encoder(open_dataset(place / "data"))
        line = str(error.value)
        assert line.startswith(f"--data: {path} is ") and ANEW in line and "\n" not in line
        path.write_bytes(content)
    assert read_encoder(open_dataset(place / "data")).output_shape == (None, 8, 8, 128)


def test_a_damaged_checkpoint_costs_an_interval_and_nothing_of_the_result(place, capsys):
    """The run goes on from the checkpoint before, to the very weights and rows that it had."""

    def weights():
        reader = tf.train.load_checkpoint(str(place / "run" / "best" / "weights"))
        names = sorted(name for name in reader.get_variable_to_shape_map() if "OBJECT" not in name)
        return [reader.get_tensor(name).tobytes() for name in names]

    def rows():
        lines = (place / "run" / "metrics.jsonl").read_text().splitlines()
        timed = ("seconds", "images_per_second")
        return [{k: v for k, v in json.loads(x).items() if k not in timed} for x in lines]

    at_the_end = weights(), rows()
    contents = {
        place / name / STATE: (place / name / STATE).read_bytes() for name in (LAST, BEFORE)
    }
    for path, content in contents.items():
        path.write_bytes(flipped(content))
    line = complaint(main, capsys, *train_flags(place))
    assert line.count("\n") == 1 and line.count("/state is damaged (") == 2
    for part in (LAST, BEFORE, "--initial_run=", f"{place / 'run' / 'checkpoints'} anew"):
        assert part in line

    path = place / BEFORE / STATE
    path.write_bytes(contents[path])
    main(train_flags(place))
    out = capsys.readouterr().out
    assert f"{place / LAST}/state is damaged (" in out and f"{place / BEFORE}" in out
    assert "after 12 steps" in out and "Training ended" in out
    assert (weights(), rows()) == at_the_end
    main(train_flags(place))
    assert "/state is damaged" not in capsys.readouterr().out


def test_a_worker_that_reads_another_checkpoint_than_the_others_says_so(place, capsys, monkeypatch):
    monkeypatch.setattr("trainer.run_state.sum_of_workers", lambda _, steps: steps + 12.0)
    line = complaint(main, capsys, *train_flags(place))
    assert f"{place / 'run'} was read after 24 steps here, and other workers" in line


def test_missing_best_weights_and_configurations_are_told_and_the_run_goes_on(place, capsys):
    shutil.rmtree(place / "run" / "best")
    os.remove(place / "run" / "config.json")
    main(train_flags(place))
    out = capsys.readouterr().out
    assert f"{place / 'run' / 'best'} is gone: the weights of the last checkpoint" in out
    assert f"{place / 'run' / 'config.json'} is gone and is written anew from these flags" in out
    main(run_flags("evaluate", place, "--split=test"))
    assert "Scores: " in capsys.readouterr().out


def test_a_store_that_is_not_there_is_named_by_each_flag(place, capsys):
    store = "foo://bucket/x"
    for command in (
        train_flags(place, "new")[:1] + [f"--data={store}", f"--run={place / 'new'}"],
        train_flags(place, "new") + [f"--run={store}"],
        train_flags(place, "new") + [f"--initial_run={store}"],
        run_flags("evaluate", place, f"--run={store}"),
        run_flags("export", place, f"--output={store}"),
        ["caption", f"--model={store}", "picture.jpg"],
    ):
        line = complaint(main, capsys, *command)
        assert line.count("\n") == 1 and store in line and "foo" in line
    assert not (place / "new").exists()


def test_scores_are_printed_before_they_are_written_and_are_kept_where_they_cannot_be(
    place, capsys, monkeypatch
):
    command = run_flags("evaluate", place, "--split=test")
    for written in (place / "run").glob("*-test.json"):  # by another test, which shares the run
        written.unlink()
    instead = place / "instead"
    instead.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(instead))
    write = tf.io.gfile.GFile.write

    def fail(file, content):
        if str(place / "run") in file.name:
            raise tf.errors.ResourceExhaustedError(None, None, f"{file.name}; No space left")
        return write(file, content)

    monkeypatch.setattr(tf.io.gfile.GFile, "write", fail)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "CIDEr" in printed.out and "reference: " in printed.out
    assert printed.err.count("\n") == 1 and str(place / "run" / "captions-test.json") in printed.err
    [folder] = instead.iterdir()
    assert str(folder) in printed.err
    assert json.loads((folder / "scores-test.json").read_text())["scores"].keys()
    assert len(json.loads((folder / "captions-test.json").read_text())) == 11
    assert not list((place / "run").glob("*-test.json*"))

    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(place))

    def print_on_full_disk(*words, file=None):
        if file is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        print(*words, file=file)

    monkeypatch.setattr("trainer.command.print", print_on_full_disk, raising=False)
    line = complaint(main, capsys, *command)
    assert line.startswith("error: standard output: No space left on device")
    assert json.loads((place / "run" / "scores-test.json").read_text())["scores"].keys()
