"""Sources on a filesystem that only Beam knows: the local disk under another scheme."""

import os
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.localfilesystem import LocalFileSystem
from dataset_files import contents, rejected
from small_configs import pipeline_config

from pipeline.run import write_dataset

SCHEME = "elsewhere://"
pytestmark = pytest.mark.usefixtures("copied_encoders")


class ElsewhereFileSystem(LocalFileSystem):
    """`elsewhere:///path`; Beam finds it as a subclass, as it finds that of gs://."""

    @classmethod
    def scheme(cls):
        return SCHEME.removesuffix("://")

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def _list(self, dir_or_prefix):
        for folder, _, names in os.walk(dir_or_prefix.removeprefix(SCHEME)):
            yield from (self.metadata(f"{SCHEME}{folder.rstrip('/')}/{name}") for name in names)

    def open(self, path, *args, **kwargs):
        return super().open(path.removeprefix(SCHEME), *args, **kwargs)

    def exists(self, path):
        return super().exists(path.removeprefix(SCHEME))

    def metadata(self, path):
        metadata = super().metadata(path.removeprefix(SCHEME))
        metadata.path = path
        return metadata


def run(source, directory, input, **changes):
    config = pipeline_config(f"{SCHEME}{input}", directory, source=source, **changes)
    return write_dataset(config).manifest


@pytest.fixture(scope="module")
def images(pictures):
    folder = os.path.join(pictures, "images")
    return {name: os.path.join(folder, name) for name in sorted(os.listdir(folder))[:20]}


@pytest.mark.slow
def test_a_directory_elsewhere_gives_the_same_dataset(pictures, dataset, tmp_path):
    manifest = run("flickr8k", tmp_path / "out", pictures, features="none")
    assert manifest.images("train") == 96
    with_images = run("flickr8k", tmp_path / "with_images", pictures)
    assert with_images.image_counts == run("flickr8k", tmp_path / "again", pictures).image_counts
    assert contents(tmp_path / "with_images").keys() == contents(dataset).keys()
    assert {row["uri"][: len(SCHEME)] for row in rejected(tmp_path / "with_images").values()} == {
        SCHEME
    }


def test_a_table_elsewhere_names_images_elsewhere_and_holds_images(images, tmp_path):
    whole = [path for path in images.values() if os.path.getsize(path) > 500]
    source = tmp_path / "in"
    source.mkdir()
    names = [os.path.basename(path) for path in whole]
    texts = [[f"A picture {name} .", "One picture ."] for name in names]
    paths = {"image": [SCHEME + path for path in whole], "caption": texts}
    pq.write_table(pa.table(paths), source / "paths.parquet")
    inline = {"image": [open_bytes(path) for path in whole], "caption": texts, "name": names}
    pq.write_table(pa.table(inline), source / "inline.parquet")
    for kind, flags in (("paths", {}), ("inline", {"id_column": "name"})):
        manifest = run(
            "table", tmp_path / kind, source / f"{kind}.parquet", max_rejected=0.5, **flags
        )
        counts = [manifest.image_counts[split] for split in manifest.splits]
        assert sum(row.read for row in counts) == len(whole)
        assert sum(row.written for row in counts) >= len(whole) - 3
        assert not (tmp_path / kind / "staged_images").exists()


def test_tar_files_elsewhere_give_their_images(images, tmp_path):
    with tarfile.open(tmp_path / "shard-000.tar", "w") as tar:
        for i, path in enumerate(images.values()):
            shutil.copy(path, tmp_path / f"{i:03d}.jpg")
            (tmp_path / f"{i:03d}.txt").write_text("A picture .\nAnother one .\n")
            for ending in ("jpg", "txt"):
                tar.add(tmp_path / f"{i:03d}.{ending}", arcname=f"{i:03d}.{ending}")
    manifest = run("webdataset", tmp_path / "out", tmp_path / "shard-000.tar", max_rejected=0.5)
    counts = [manifest.image_counts[split] for split in manifest.splits]
    assert sum(row.read for row in counts) == len(images)
    assert sum(row.written for row in counts) >= len(images) - 3


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()
