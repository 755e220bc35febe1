"""Packs of images: what goes in comes out, whoever is killed or reads at the same time."""

import hashlib
import itertools
import os
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.files import read_image_bytes
from pipeline.sources.staged_images import file_stamp, pack_path, stage_images
from tfrecords_schema.errors import InputError

IMAGES = [b"one", b"two!", b"", None, b"two!", b"two!", b"\0\xff"]


class Container:
    """Rows with images, and what was asked of it."""

    def __init__(self, images):
        self.images, self.asked = images, []

    def rows(self, with_images):
        self.asked.append(with_images)
        for i, image in enumerate(self.images):
            yield f"row {i}", image if with_images else None


def stage(pack, images):
    return list(stage_images(pack, Container(images).rows))


def read_back(staged):
    return [read_image_bytes(row.location) if row.location else b"" for row in staged]


@pytest.fixture
def pack(tmp_path):
    return pack_path(str(tmp_path / "staged_images"), "part", 7)


def test_the_first_reader_stages_and_the_second_leaves_the_images_alone(pack):
    container = Container(IMAGES)
    first = list(stage_images(pack, container.rows))
    second = list(stage_images(pack, container.rows))
    assert container.asked == [True, False]
    assert first == second
    assert [row.row for row in first] == [f"row {i}" for i in range(len(IMAGES))]
    assert read_back(first) == [image or b"" for image in IMAGES]


def test_a_row_without_an_image_has_no_location(pack):
    assert [bool(row.location) for row in stage(pack, IMAGES)] == [
        True, True, False, False, True, True, True,
    ]  # fmt: skip


def test_an_image_equal_to_the_one_before_is_stored_once_and_is_the_same(pack):
    staged = stage(pack, IMAGES)
    assert [row.first for row in staged] == [0, 1, 2, 2, 4, 4, 6]
    assert staged[4].location == staged[5].location != staged[1].location
    assert os.path.getsize(pack) == len(b"one" + b"two!" + b"two!" + b"\0\xff")
    assert [bool(row.content) for row in staged] == [bool(image) for image in IMAGES]
    assert len({row.content for row in staged}) == len({image or b"" for image in IMAGES})
    assert stage(pack, IMAGES) == staged


def test_the_layout_is_that_of_the_docstring(pack):
    stage(pack, [b"abc", None, b"de"])
    index = f"{pack.removesuffix('.pack')}.index"
    spans = np.fromfile(index, [("span", "<i8", 2), ("digest", "V16")])
    assert spans["span"].tolist() == [[0, 3], [3, 0], [3, 2]]
    digests = [hashlib.sha256(b"abc").digest()[:16], bytes(16), hashlib.sha256(b"de").digest()[:16]]
    assert [digest.tobytes() for digest in spans["digest"]] == digests
    with open(pack, "rb") as file:
        assert file.read() == b"abcde"
    assert sorted(os.listdir(os.path.dirname(pack))) == sorted(map(os.path.basename, [pack, index]))


@pytest.mark.parametrize("images", [[], [None], [b"", None, b""]])
def test_a_part_without_images_is_staged_too(pack, images):
    container = Container(images)
    assert list(stage_images(pack, container.rows)) == list(stage_images(pack, container.rows))
    assert container.asked == [True, False]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=3)), max_size=20))
def test_images_of_any_bytes_come_back_from_their_pack(tmp_path_factory, images):
    pack = pack_path(str(tmp_path_factory.mktemp("packs")), 0)
    for _ in range(2):
        staged = stage(pack, images)
        assert read_back(staged) == [image or b"" for image in images]
        assert all((images[row.first] or b"") == (images[i] or b"") for i, row in enumerate(staged))


def test_a_reader_that_gives_up_leaves_nothing(pack):
    container = Container(IMAGES)
    reader = stage_images(pack, container.rows)
    assert next(reader).row == "row 0"
    reader.close()
    assert os.listdir(os.path.dirname(pack)) == []
    assert read_back(list(stage_images(pack, container.rows)))[0] == b"one"
    assert container.asked == [True, True]


def test_a_container_that_fails_leaves_nothing_and_its_error_is_passed_on(pack):
    def rows(with_images):
        yield "row 0", b"image"
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        list(stage_images(pack, rows))
    assert os.listdir(os.path.dirname(pack)) == []


def test_a_reader_that_is_killed_half_way_does_no_harm(pack):
    program = f"""
        import os
        from pipeline.sources.staged_images import stage_images
        rows = lambda with_images: iter([("row 0", b"other")] * 3)
        reader = stage_images({pack!r}, rows)
        next(reader), next(reader)
        os._exit(9)
    """
    root = str(Path(__file__).resolve().parents[3])
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root)
    assert killed.returncode == 9
    assert all(".incomplete-" in name for name in os.listdir(os.path.dirname(pack)))
    for _ in range(2):
        assert read_back(stage(pack, IMAGES)) == [image or b"" for image in IMAGES]


def test_a_pack_without_an_index_counts_for_nothing(pack):
    stage(pack, IMAGES)
    os.remove(f"{pack.removesuffix('.pack')}.index")
    with open(pack, "wb") as file:
        file.write(b"half")
    assert read_back(stage(pack, IMAGES)) == [image or b"" for image in IMAGES]


def test_two_readers_at_once_give_the_same_images(pack):
    containers = [Container(IMAGES), Container(IMAGES)]
    pairs = list(itertools.zip_longest(*[stage_images(pack, c.rows) for c in containers]))
    assert [c.asked for c in containers] == [[True], [True]]
    assert all(one == other for one, other in pairs)
    assert read_back([one for one, _ in pairs]) == [image or b"" for image in IMAGES]


@pytest.mark.parametrize("images", [IMAGES[:-1], [*IMAGES, b"new"], []])
def test_a_container_with_other_rows_than_were_staged_is_refused(pack, images):
    stage(pack, IMAGES)
    with pytest.raises(InputError, match="changed"):
        stage(pack, images)


def test_few_images_are_held_at_a_time(pack):
    rows = ((i, os.urandom(1 << 20)) for i in range(20))
    tracemalloc.start()
    for _ in stage_images(pack, lambda with_images: rows):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1 << 20 < peak < 4 << 20


def test_a_staging_directory_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        stage(str(tmp_path / "file" / "a.pack"), IMAGES)


def test_the_name_of_a_pack_is_stable_and_depends_on_all_of_the_identity():
    assert pack_path("/d", "a.parquet", 0, [1, 2.5]) == ("/d/c308be9a547551f8156f5437c8f0be0c.pack")
    identities = [("a", 1), ("a", 2), ("b", 1), ("a", 1, 1), ("a", "1"), ("a", [1])]
    assert len({pack_path("/d", *identity) for identity in identities}) == len(identities)


def test_the_stamp_changes_with_the_size_and_the_time_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    os.utime(path, (1, 1))
    assert file_stamp(str(path)) == (3, 1.0)
    os.utime(path, (1, 2))
    assert file_stamp(str(path)) == (3, 2.0)
    with pytest.raises(InputError, match="nowhere"):
        file_stamp(str(tmp_path / "nowhere"))
