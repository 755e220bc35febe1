"""Pictures called the same in several folders, files or splits keep their own captions."""

import colorsys
import csv
import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from dataset_files import rejected
from drawn_sources import write_tfds
from PIL import Image
from small_configs import pipeline_config

from pipeline.run import write_dataset
from pipeline.sources.find_source import find_source
from tfrecords_schema.errors import InputError
from tfrecords_schema.parse import parse_record

pytestmark = pytest.mark.usefixtures("copied_encoders")
SPLITS = {"train": range(8), "val": range(8, 11), "test": range(11, 13)}
OURS = {"train": "train", "val": "validation", "test": "test"}


FOLDERS = "ab"
NAMES = "01"
# Twelve squares of one colour each, so that a caption on the wrong picture is seen: four a split,
# two names in each of two folders.
SQUARES = [(split, folder, name) for split in SPLITS for folder in FOLDERS for name in NAMES]
COLOURS = [
    [round(255 * channel) for channel in colorsys.hsv_to_rgb(n / 12, 1, 1)] for n in range(12)
]


def png(number):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), tuple(COLOURS[number])).save(file, "PNG")
    return file.getvalue()


def texts(number):
    return [f"square number {number} is here", f"here is another text of {number}"]


def squares_of(split):
    """(number in all, number in the split, folder, name) of the squares of a split."""
    chosen = [(n, *square[1:]) for n, square in enumerate(SQUARES) if square[0] == split]
    return [(n, i, folder, name) for i, (n, folder, name) in enumerate(chosen)]


def write_squares(root):
    for n, (split, folder, name) in enumerate(SQUARES):
        path = root / split / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(n))


def same_names_in_tables(root):
    """A table in the folder of each split, its paths relative to that folder."""
    write_squares(root)
    for split in SPLITS:
        with open(root / split / "metadata.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "text"])
            for n, _, folder, name in squares_of(split):
                rows.writerows([f"{folder}/{name}.png", text] for text in texts(n))
    flags = dict(source="table", image_column="file_name", caption_column="text")
    ids = [f"{split}/{folder}/{name}.png" for split, folder, name in SQUARES]
    return flags | dict(input=f"{root}/*/metadata.csv"), ids


def one_path_in_parquet(root):
    """Bytes whose `path` is the same in every row, two files a split."""
    root.mkdir()
    ids = []
    for split in SPLITS:
        for k, folder in enumerate(FOLDERS):
            rows = [
                {"image": {"bytes": png(n), "path": "image.png"}, "caption": text}
                for n, _, its_folder, _ in squares_of(split)
                for text in texts(n)
                if its_folder == folder
            ]
            name = f"{split}-{k:05d}-of-00002.parquet"
            pq.write_table(pa.Table.from_pylist(rows), root / name)
            ids += [f"{name}:0", f"{name}:2"]  # the first rows of both
    return dict(source="table"), ids


def ids_that_start_anew_in_coco(root):
    """Images and captions count from 1 in every file; file names hold a folder."""
    write_squares(root)
    (root / "annotations").mkdir()
    for split in SPLITS:
        squares = squares_of(split)
        content = {
            "images": [
                {"id": i + 1, "file_name": f"{folder}/{name}.png"} for _, i, folder, name in squares
            ],
            "annotations": [
                {"id": 2 * i + k + 1, "image_id": i + 1, "caption": text}
                for n, i, *_ in squares
                for k, text in enumerate(texts(n))
            ],
        }
        (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    return dict(source="coco"), [f"{split}/{i + 1}" for split in SPLITS for i in range(4)]


def same_names_in_karpathys_folders(root):
    write_squares(root)
    images = [
        {
            "filename": f"{name}.png", "filepath": f"{split}/{folder}", "split": split,
            "sentences": [{"raw": text, "sentid": k} for k, text in enumerate(texts(n))],
        }
        for n, (split, folder, name) in enumerate(SQUARES)
    ]  # fmt: skip
    (root / "dataset_own.json").write_text(json.dumps({"images": images}))
    ids = [f"{split}/{folder}/{name}.png" for split, folder, name in SQUARES]
    return dict(source="karpathy"), ids


def same_keys_in_tars(root):
    root.mkdir()
    for split in SPLITS:
        for folder in FOLDERS:
            with tarfile.open(root / f"{split}-{folder}.tar", "w") as tar:
                for n, _, its_folder, name in squares_of(split):
                    text = "\n".join(texts(n)).encode()
                    for field, content in (("png", png(n)), ("txt", text)):
                        member = tarfile.TarInfo(f"{name}.{field}")
                        member.size = len(content)
                        if its_folder == folder:
                            tar.addfile(member, io.BytesIO(content))
    return dict(source="webdataset"), [f"{split}-{f}/{name}" for split, f, name in SQUARES]


def same_names_in_folders(root):
    write_squares(root)
    for n, (split, folder, name) in enumerate(SQUARES):
        (root / split / folder / f"{name}.txt").write_text("\n".join(texts(n)))
    return dict(source="folder"), [f"{split}/{f}/{name}.png" for split, f, name in SQUARES]


def same_names_in_tfds(root):
    """The files of every split are called 0.png to 3.png."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="png"),
            "image/filename": tfds.features.Text(),
            "captions": tfds.features.Sequence({"text": tf.string}),
        }
    )
    examples = {
        split: [
            {
                "image": io.BytesIO(png(n)),
                "image/filename": f"{i}.png",
                "captions": [{"text": text} for text in texts(n)],
            }
            for n, i, *_ in squares_of(split)
        ]
        for split in SPLITS
    }
    write_tfds(root, "squares", features, examples)
    return dict(source="tfds", tfds_name="squares"), [
        f"{split}:{i}" for split in SPLITS for i in range(4)
    ]


SAME_NAMES = [
    same_names_in_tables, one_path_in_parquet, ids_that_start_anew_in_coco,
    same_names_in_karpathys_folders, same_keys_in_tars, same_names_in_folders, same_names_in_tfds,
]  # fmt: skip


def read_squares(directory, manifest):
    """(split, number by the colour, captions) and the id of every record."""
    found, ids = [], []
    for split, shards in manifest.splits.items():
        for shard in shards:
            for serialized in tf.data.TFRecordDataset(f"{directory}/{shard.file}"):
                fields = parse_record(manifest.features(), serialized)
                colour = fields["image"].numpy().mean((0, 1))
                number = int(np.abs(np.array(COLOURS) - colour).sum(1).argmin())
                its_texts = [text.decode() for text in fields["captions"].numpy()]
                found.append((split, number, its_texts))
                ids.append(fields["image_id"].numpy().decode())
    return sorted(found), sorted(ids)


@pytest.mark.slow
@pytest.mark.parametrize("fractions", [None, (1.0, 0.0, 0.0)])
@pytest.mark.parametrize("layout", SAME_NAMES)
def test_pictures_that_are_called_the_same_keep_their_own_captions(layout, fractions, tmp_path):
    flags, names = layout(tmp_path / "in")
    config = pipeline_config(
        flags.pop("input", str(tmp_path / "in")), tmp_path / "out", min_count=1, features="image",
        max_rejected=0.0, images_per_shard=4, split_fractions=fractions, **flags,
    )  # fmt: skip
    manifest = write_dataset(config).manifest
    found, ids = read_squares(tmp_path / "out", manifest)
    assert found == sorted(
        ("train" if fractions else OURS[split], n, texts(n))
        for n, (split, *_) in enumerate(SQUARES)
    )
    assert ids == sorted(names)
    assert rejected(tmp_path / "out") == {}
    assert sum(counts.read for counts in manifest.image_counts.values()) == len(SQUARES)


@pytest.mark.slow
def test_an_id_column_that_names_two_files_is_refused_with_both(tmp_path):
    flags, _ = same_names_in_tables(tmp_path / "in")
    config = pipeline_config(
        flags.pop("input"), tmp_path / "out", id_column="file_name", min_count=1, features="image",
        max_rejected=1.0, **flags,
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        write_dataset(config)
    message = str(error.value)
    assert message.startswith("--id_column=file_name: ")
    assert sum(f"{tmp_path}/in/{split}/" in message for split in SPLITS) >= 2


@pytest.mark.slow
def test_the_same_bytes_in_two_splits_are_reported(tmp_path):
    flags, _ = same_names_in_folders(tmp_path / "in")
    (tmp_path / "in" / "test" / "b" / "1.png").write_bytes(png(0))
    config = pipeline_config(
        str(tmp_path / "in"), tmp_path / "out", min_count=1, features="image", **flags
    )
    write_dataset(config)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["same_pictures"] == [1, [[["test", "test/b/1.png"], ["train", "train/a/0.png"]]]]


def found(root, layout, **changes):
    root.mkdir()
    flags, _ = layout(root / "in")
    fields = dict(features="image", min_count=1) | flags | changes
    return find_source(
        pipeline_config(fields.pop("input", str(root / "in")), root / "out", **fields)
    )


@pytest.mark.parametrize("layout", SAME_NAMES)
def test_splits_are_those_of_the_source_and_go_by_its_names(layout, tmp_path):
    source = found(tmp_path / "names", layout)
    assert source.has_splits
    by_hash = found(tmp_path / "hash", layout, split_fractions=(0.8, 0.1, 0.1))
    assert not by_hash.has_splits and by_hash.splits == ()
    swapped = found(tmp_path / "given", layout, split_names={"val": "test", "test": "leave_out"})
    mentions = [row for part in swapped.parts for row in swapped.read(part)]
    splits = {row.split for row in mentions}
    assert splits == {"train", "test", *["leave_out"] * (layout is not ids_that_start_anew_in_coco)}


def without_pictures(root):
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".png"):
                os.remove(os.path.join(folder, name))


@pytest.mark.parametrize("layout", [ids_that_start_anew_in_coco, same_names_in_karpathys_folders])
def test_a_data_set_of_text_asks_for_no_directory_of_pictures(layout, tmp_path):
    layout(tmp_path / "in")
    without_pictures(tmp_path / "in")
    source = dict(source="coco" if layout is ids_that_start_anew_in_coco else "karpathy")
    config = pipeline_config(str(tmp_path / "in"), tmp_path / "out", features="none", **source)
    assert find_source(config).parts
    with pytest.raises(InputError, match="--image_directory"):
        find_source(pipeline_config(str(tmp_path / "in"), tmp_path / "out", **source))
