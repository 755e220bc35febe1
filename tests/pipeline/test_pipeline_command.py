"""What a user does wrong at the command line: one clear line, status 2, no stack trace."""

import dataclasses
import functools
import os

import commands
import pytest
from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions

from pipeline.command import main, make_parser, parse
from pipeline.config import PipelineConfig
from pipeline.engines.beam_options import make_options
from pipeline.engines.local_processes import LOCAL_RUNNER
from tfrecords_schema.errors import InputError

complaint = functools.partial(commands.complaint, main)


@pytest.fixture
def good(pictures, tmp_path):
    return [f"--input={pictures}", f"--output={tmp_path / 'out'}", "--encoder=tiny"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--source=imagenet"], ["--source", "'imagenet'", "flickr8k"]),
        (["--encoder=vgg99"], ["--encoder", "'vgg99'", "mobilenet_v2"]),
        (["--features=region"], ["--features", "'region'", "grid"]),
        (["--feature_dtype=int8"], ["--feature_dtype", "'int8'", "float16"]),
        (["--clean=stem"], ["--clean", "'stem'", "tutorial"]),
        (["--restval=test"], ["--restval", "'test'", "leave_out"]),
        (["--max_length=0"], ["--max_length=0", "at least 1"]),
        (["--max_size=-1"], ["--max_size=-1", "at least 0"]),
        (["--worker_threads=-1"], ["--worker_threads=-1", "at least 0"]),
        (["--worker_threads=all"], ["--worker_threads", "'all'"]),
        (["--max_size=9", "--vocabulary=words.txt"], ["--max_size=9", "--vocabulary=words.txt"]),
        (["--image_directory=photos"], ["--image_directory=photos", "coco, karpathy or table"]),
        (["--tfds_name=coco_captions"], ["--tfds_name='coco_captions'", "--source=tfds"]),
        (["--source=tfds"], ["--tfds_name=''", "coco_captions"]),
        (["--retry_rejected=yes"], ["--retry_rejected", "'yes'"]),
        (["--min_count=often"], ["--min_count", "'often'"]),
        (["--min_count=0"], ["--min_count=0", "at least 1"]),
        (["--images_per_shard=-3"], ["--images_per_shard=-3", "at least 1"]),
        (["--max_rejected=2"], ["--max_rejected=2.0", "0 to 1"]),
        (["--split_fractions=0.5,0.6,0.1"], ["--split_fractions=0.5,0.6,0.1", "add up to 1"]),
        (["--split_fractions=half"], ["--split_fractions", "'half'", "0.8,0.1,0.1"]),
        (["--encodr=tiny"], ["--encodr=tiny", "--help"]),
        (["--runner=Bogus"], ["--runner='Bogus'", "FlinkRunner"]),
        (["--direct_num_workers=two"], ["--direct_num_workers", "'two'"]),
        (["--sdk_worker_parallelism=two"], ["--sdk_worker_parallelism=two", "whole number"]),
        (["--runner=PrismRunner", "--prsm_location=x"], ["--prsm_location=x", "--help"]),
        (["--runner=FlinkRunner", "stray"], ["stray", "--help"]),
    ],
)
def test_a_bad_flag_is_named_with_what_would_be_right(good, capsys, tmp_path, flags, expected):
    error = complaint(capsys, *good, *flags)
    for part in expected:
        assert part in error
    assert not (tmp_path / "out").exists()


def test_every_field_of_the_configuration_is_a_flag_with_its_default():
    required = ["--input=in", "--output=out"]
    flags = {action.dest for action in make_parser()._actions} - {"help"}
    assert flags == {field.name for field in dataclasses.fields(PipelineConfig)}
    assert parse(required) == (PipelineConfig(input="in", output="out"), [])


def test_flags_become_values():
    arguments = [
        "--source=table", "--input=in", "--output=out", "--image_directory=photos",
        "--image_column=photo", "--caption_column=text", "--split_column=part", "--id_column=key",
        "--split_fractions=0.5,0.25,0.25", "--clean=tutorial", "--max_size=9000",
        "--max_length=20", "--features=none", "--retry_rejected", "--worker_threads=2",
    ]  # fmt: skip
    config, beam_flags = parse([*arguments, "--job_name=x"])
    assert beam_flags == ["--job_name=x"]
    assert config == PipelineConfig(
        source="table", input="in", output="out", image_directory="photos", image_column="photo",
        caption_column="text", split_column="part", id_column="key",
        split_fractions=(0.5, 0.25, 0.25), clean="tutorial", max_size=9000, max_length=20,
        features="none", retry_rejected=True, worker_threads=2,
    )  # fmt: skip


def test_missing_flags_are_named(capsys):
    error = complaint(capsys)
    assert "--input" in error and "--output" in error


def test_a_missing_input_directory_is_named(capsys, tmp_path):
    error = complaint(capsys, f"--input={tmp_path / 'nowhere'}", f"--output={tmp_path / 'out'}")
    assert f"{tmp_path / 'nowhere'} does not exist" in error
    assert not (tmp_path / "out").exists()


def test_an_empty_captions_file_is_named(capsys, tmp_path):
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "Flickr8k.token.txt").write_text("\n")
    error = complaint(capsys, f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}")
    assert "Flickr8k.token.txt is empty" in error


def test_missing_weights_are_named(good, capsys):
    flags = ["--encoder=mobilenet_v2", "--encoder_weights=/nowhere/weights.h5"]
    error = complaint(capsys, *good, *flags)
    assert "--encoder_weights=/nowhere/weights.h5: no such file" in error


@pytest.mark.parametrize(
    "content", [None, b"", b"caf\xe9\n", b"dog\ncat\ndog\n", b"hot dog\n"],
)  # fmt: skip
def test_a_vocabulary_that_cannot_be_used_is_named(good, capsys, tmp_path, content):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    error = complaint(capsys, *good, f"--vocabulary={path}")
    assert str(path) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_mistake_before_the_first_shard_does_not_bind_the_directory(good, capsys, tmp_path):
    (tmp_path / "other").mkdir()
    flags = ["--encoder=mobilenet_v2", "--encoder_weights=/nowhere/weights.h5"]
    complaint(capsys, *good, *flags, f"--output={tmp_path / 'other' / 'out'}")
    main([*good, "--max_rejected=0.05", f"--output={tmp_path / 'other' / 'out'}"])
    assert (tmp_path / "other" / "out" / "manifest.json").exists()


def test_captions_for_other_images_are_an_error_before_long_work(capsys, tmp_path):
    (tmp_path / "in" / "images").mkdir(parents=True)
    (tmp_path / "in" / "images" / "other.jpg").write_bytes(b"")
    (tmp_path / "in" / "Flickr8k.token.txt").write_text("one.jpg#0\tA dog .\n")
    (tmp_path / "in" / "Flickr_8k.trainImages.txt").write_text("one.jpg\n")
    error = complaint(
        capsys, f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", "--encoder=tiny"
    )
    assert "not one training image" in error and str(tmp_path / "in" / "images") in error


def test_an_output_that_is_a_file_is_named(good, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    error = complaint(capsys, *good, f"--output={tmp_path / 'file'}")
    assert "is a file" in error


def test_an_output_that_cannot_be_made_is_named(good, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    below = os.path.join(tmp_path, "file", "out")
    error = complaint(capsys, *good, f"--output={below}")
    assert f"{below} cannot be written to" in error


@pytest.mark.parametrize("runner", ["FnApiRunner", "PrismRunner", "FlinkRunner", "DataflowRunner"])
def test_files_for_the_workers_that_are_not_there_are_refused_on_every_engine(tmp_path, runner):
    missing = tmp_path / "setup.py"
    for flag in ("--setup_file", "--requirements_file", "--extra_package", "--extra_packages"):
        with pytest.raises(InputError, match=f"{flag.rstrip('s')}s?={missing}: no such file"):
            make_options([f"--runner={runner}", f"{flag}={missing}"])
    with pytest.raises(InputError, match=f"--setup_file={tmp_path}: no such file"):
        make_options([f"--runner={runner}", f"--setup_file={tmp_path}"])
    (tmp_path / "install.py").write_text("")
    with pytest.raises(InputError, match=r"install.py must be called setup.py or pyproject.toml"):
        make_options([f"--runner={runner}", f"--setup_file={tmp_path / 'install.py'}"])


def test_files_for_the_workers_reach_beam_with_the_home_directory_in_their_paths(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("setup.py", "more.whl"):
        (tmp_path / name).write_text("")
    flags = [
        "--setup_file=~/setup.py",
        "--extra_package=~/more.whl",
        "--extra_package=gs://b/x.whl",
    ]
    options = make_options(flags).view_as(SetupOptions)
    assert options.setup_file == str(tmp_path / "setup.py")
    assert options.extra_packages == [str(tmp_path / "more.whl"), "gs://b/x.whl"]
    assert options.requirements_file is None


def test_a_tilde_in_any_path_flag_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    taken = []
    monkeypatch.setattr("pipeline.run.write_dataset", lambda config, *_, **__: taken.append(config))
    names = ("input", "output", "image_directory", "vocabulary", "encoder_weights")
    main(["--source=table", "--encoder=~/cnn.keras", *[f"--{name}=~/{name}" for name in names]])
    [config] = taken
    assert config.encoder == str(tmp_path / "cnn.keras")
    assert [getattr(config, name) for name in names] == [str(tmp_path / name) for name in names]
    main(["--input=in~put", "--output=./~"])  # names of files like any other
    assert (taken[1].input, taken[1].output, taken[1].encoder) == ("in~put", "./~", "mobilenet_v2")


def test_beams_own_flags_pass_through_and_the_runner_is_named():
    options = make_options(["--direct_num_workers=2"])
    assert options.view_as(DirectOptions).direct_num_workers == 2
    assert options.view_as(StandardOptions).runner == LOCAL_RUNNER
    given = make_options(["--runner", "FlinkRunner", "--flink_master=localhost:8081"])
    assert given.view_as(StandardOptions).runner == "FlinkRunner"
    with pytest.raises(InputError, match="unknown flag --flnk_master=x"):
        make_options(["--flnk_master=x"])


@pytest.mark.parametrize(
    "runner",
    ["FlinkRunner", "flink", "SparkRunner", "PortableRunner",
     "apache_beam.runners.portability.flink_runner.FlinkRunner"],
)  # fmt: skip
def test_flags_that_only_a_job_server_knows_are_left_to_it_and_named(capsys, runner):
    options = make_options([f"--runner={runner}", "--fasterCopy=true", "--parallelism=3"])
    assert "Left to the job server: --fasterCopy=true\n" in capsys.readouterr().out

    def ask_job_server(parser):
        parser.add_argument("--fasterCopy")

    found = options.get_all_options(add_extra_args_fn=ask_job_server)
    assert (found["fasterCopy"], found["parallelism"]) == ("true", 3)


@pytest.mark.parametrize("runner", ["PrismRunner", "prism", "DataflowRunner", "FnApiRunner"])
def test_engines_without_a_job_server_take_no_unknown_flag(capsys, runner):
    assert make_options([f"--runner={runner}"]).view_as(StandardOptions).runner == runner
    with pytest.raises(InputError, match="unknown flag --fasterCopy=true"):
        make_options([f"--runner={runner}", "--fasterCopy=true"])
