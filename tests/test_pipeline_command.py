"""What a user does wrong at the command line: one clear line, status 2, no stack trace."""

import functools
import os

import conftest
import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipeline.command import LOCAL_RUNNER, beam_options, main
from tfrecords_schema.errors import InputError

complaint = functools.partial(conftest.complaint, main)


@pytest.fixture
def good(pictures, tmp_path):
    return [f"--input={pictures}", f"--output={tmp_path / 'out'}", "--encoder=tiny"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--source=imagenet"], ["--source", "'imagenet'", "flickr8k"]),
        (["--encoder=vgg99"], ["--encoder", "'vgg99'", "mobilenet_v2"]),
        (["--features=region"], ["--features", "'region'", "grid"]),
        (["--min_count=often"], ["--min_count", "'often'"]),
        (["--min_count=0"], ["--min_count=0", "at least 1"]),
        (["--images_per_shard=-3"], ["--images_per_shard=-3", "at least 1"]),
        (["--max_rejected=2"], ["--max_rejected=2.0", "0 to 1"]),
        (["--split_fractions=0.5,0.6,0.1"], ["--split_fractions=0.5,0.6,0.1", "add up to 1"]),
        (["--split_fractions=half"], ["--split_fractions", "'half'", "0.8,0.1,0.1"]),
        (["--encodr=tiny"], ["--encodr=tiny", "--help"]),
        (["--runner=Bogus"], ["--runner='Bogus'", "FlinkRunner"]),
        (["--direct_num_workers=two"], ["--direct_num_workers", "'two'"]),
    ],
)
def test_a_bad_flag_is_named_with_what_would_be_right(good, capsys, tmp_path, flags, expected):
    error = complaint(capsys, *good, *flags)
    for part in expected:
        assert part in error
    assert not (tmp_path / "out").exists()


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


def test_beams_own_flags_pass_through_and_the_runner_is_named():
    options = beam_options(["--direct_num_workers=2"])
    assert options.view_as(DirectOptions).direct_num_workers == 2
    assert options.view_as(StandardOptions).runner == LOCAL_RUNNER
    given = beam_options(["--runner", "FlinkRunner", "--flink_master=localhost:8081"])
    assert given.view_as(StandardOptions).runner == "FlinkRunner"
    with pytest.raises(InputError, match="unknown flag --flnk_master=x"):
        beam_options(["--flnk_master=x"])
