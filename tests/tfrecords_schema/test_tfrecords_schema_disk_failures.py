"""What a full disk, a file in the way or an unknown store says, in one line that names the file."""

import errno
import resource
import signal

import pytest
import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.disk_failures import disk_failure, failure_line, file_named


@pytest.fixture
def small_files():
    """No file may become larger than 1000 bytes, which stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def raised(function):
    with pytest.raises((OSError, tf.errors.OpError)) as error:
        function()
    return error.value


def test_a_text_that_finds_no_room_is_named_by_the_name_that_it_was_to_have(tmp_path, small_files):
    path = str(tmp_path / "text")
    assert disk_failure(raised(lambda: write_text(path, "x" * 2000))) == f"{path}: File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_finds_no_room_is_named(tmp_path, small_files):
    path = str(tmp_path / "state")

    def write():
        with complete_or_absent(path) as temporary:
            tf.train.Checkpoint(v=tf.Variable(tf.ones(2000))).write(f"{temporary}/weights")

    assert disk_failure(raised(write)) == f"{path}/weights: File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_python_file_that_finds_no_room_is_named_though_its_error_is_not(tmp_path, small_files):
    path = str(tmp_path / "rows")

    def append():
        with file_named(path), open(path, "a") as file:
            file.write("x" * 2000)

    assert disk_failure(raised(append)) == f"{path}: File too large"


def test_standard_output_that_finds_no_room_is_named():
    def write():
        with open("/dev/full", "w") as file:
            print("x", file=file)

    assert disk_failure(raised(write)) == "standard output: No space left on device"


def test_hdf5_which_writes_several_lines_is_told_in_one():
    text = (
        "[Errno 27] Can't write data (time = Sun\n, errno = 27, error message = 'File too large')"
    )
    error = OSError(errno.EFBIG, text.removeprefix("[Errno 27] "))  # as h5py raises it
    assert disk_failure(error) == "File too large: [Errno 27] Can't write data (time = Sun"


def test_a_file_in_place_of_a_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    line = disk_failure(raised(lambda: write_text(str(tmp_path / "file" / "x"), "x")))
    assert line == f"{tmp_path / 'file'} is not a directory"


def test_a_directory_in_place_of_a_file_is_named(tmp_path):
    line = disk_failure(raised(lambda: tmp_path.write_text("x")))
    assert line == f"{tmp_path}: Is a directory"


def test_a_store_that_tensorflow_does_not_know_is_named():
    error = raised(lambda: tf.io.gfile.exists("foo://bucket/x"))
    assert disk_failure(error) == "foo://bucket/x: TensorFlow has no file system for foo://"


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InvalidArgumentError(None, None, "shapes do not fit; they differ"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor"),
        ValueError("No space left on device"),
        OSError("something"),
    ],
)
def test_errors_that_may_be_a_defect_are_no_disk_failure(error):
    assert disk_failure(error) == ""
    assert failure_line(error) == str(error)
