"""The same pictures and captions in the layout of every source give the same records.

So do pictures that are called the same in several folders, files and splits, in every source that
can have such: each keeps its own captions. Those are squares of one colour, so that a caption on
the wrong picture is seen.
"""

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

from pipeline.config import SOURCES
from pipeline.drawn_pictures import draw, random_scene
from pipeline.run import write_dataset
from pipeline.sources.find_source import find_source
from pipeline.verify.verify_dataset import verify_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.parse import parse_record

pytestmark = pytest.mark.usefixtures("copied_encoders")
SPLITS = {"train": range(8), "val": range(8, 11), "test": range(11, 13)}
OURS = {"train": "train", "val": "validation", "test": "test"}
DAMAGED = 7


def jpeg(number):
    if number == DAMAGED:
        return b"not an image"
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    draw(random_scene(rng), rng, 64).save(file, "JPEG")
    return file.getvalue()


def captions(number):
    return [f"The first of picture {number} .", f"A second, longer one of it ; {number} ."]


def split_of(number):
    return next(split for split, numbers in SPLITS.items() if number in numbers)


PICTURES = {number: jpeg(number) for numbers in SPLITS.values() for number in numbers}


def write_images(directory):
    directory.mkdir(parents=True)
    for number, content in PICTURES.items():
        (directory / f"{number}.jpg").write_bytes(content)


def flickr8k(root):
    write_images(root / "Flicker8k_Dataset")
    lines = [f"{n}.jpg#{k}\t{text}" for n in PICTURES for k, text in enumerate(captions(n))]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines))
    for split, numbers in zip(("train", "dev", "test"), SPLITS.values(), strict=True):
        names = "".join(f"{number}.jpg\n" for number in numbers)
        (root / f"Flickr_8k.{split}Images.txt").write_text(names)
    return {}


def flickr30k(root):
    write_images(root / "flickr30k_images" / "flickr30k_images")
    lines = [f"{n}.jpg| {k}| {text}" for n in PICTURES for k, text in enumerate(captions(n))]
    header = "image_name| comment_number| comment"
    (root / "flickr30k_images" / "results.csv").write_text("\n".join([header, *lines]))
    return {}


def coco(root):
    for split, numbers in SPLITS.items():
        (root / f"{split}2017").mkdir(parents=True)
        for number in numbers:
            (root / f"{split}2017" / f"{number}.jpg").write_bytes(PICTURES[number])
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in numbers]
        annotations = [
            {"id": 10 * n + k, "image_id": n, "caption": text}
            for n in numbers
            for k, text in enumerate(captions(n))
        ]
        content = {"info": {}, "images": images, "annotations": annotations}
        (root / "annotations").mkdir(exist_ok=True)
        path = root / "annotations" / f"captions_{split}2017.json"
        path.write_text(json.dumps(content))
    return {}


def karpathy(root):
    write_images(root / "images")
    images = [
        {
            "filename": f"{n}.jpg", "imgid": n, "split": split_of(n),
            "sentences": [
                {"raw": text, "sentid": 10 * n + k, "tokens": text.split()}
                for k, text in enumerate(captions(n))
            ],
        }
        for n in PICTURES
    ]  # fmt: skip
    path = root / "dataset_flickr8k.json"
    path.write_text(json.dumps({"dataset": "flickr8k", "images": images}))
    return dict(input=str(path))


def table(root):
    columns = {
        "image": list(PICTURES.values()),
        "caption": [captions(n) for n in PICTURES],
        "split": [split_of(n) for n in PICTURES],
        "number": list(PICTURES),
    }
    root.mkdir()
    pq.write_table(pa.table(columns), root / "rows.parquet", row_group_size=4)
    return dict(id_column="number")


def folder(root):
    for split, numbers in SPLITS.items():
        (root / split).mkdir(parents=True)
        for n in numbers:
            (root / split / f"{n}.jpg").write_bytes(PICTURES[n])
            (root / split / f"{n}.txt").write_text("\n".join(captions(n)))
    return {}


def webdataset(root):
    root.mkdir()
    for split, numbers in SPLITS.items():
        with tarfile.open(root / f"{split}-000000.tar", "w") as tar:
            for n in numbers:
                text = "\n".join(captions(n)).encode()
                for name, content in ((f"{n}.jpg", PICTURES[n]), (f"{n}.txt", text)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return {}


def tfds_source(root):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "captions": tfds.features.Sequence({"id": np.int64, "text": tf.string}),
        }
    )
    examples = {
        split: [
            {
                "image": io.BytesIO(PICTURES[n]),
                "image/filename": f"{n}.jpg",
                "captions": [{"id": k, "text": text} for k, text in enumerate(captions(n))],
            }
            for n in numbers
        ]
        for split, numbers in SPLITS.items()
    }
    write_tfds(root, "drawn_captions", features, examples)
    return dict(tfds_name="drawn_captions")


LAYOUTS = dict(
    flickr8k=flickr8k, flickr30k=flickr30k, coco=coco, karpathy=karpathy, table=table,
    webdataset=webdataset, folder=folder, tfds=tfds_source,
)  # fmt: skip


def records(directory, manifest):
    """(split, number) -> (captions, ids of the words, features)."""
    found = {}
    for split, shards in manifest.splits.items():
        for shard in shards:
            for serialized in tf.data.TFRecordDataset(f"{directory}/{shard.file}"):
                fields = parse_record(manifest.features(), serialized)
                name = fields["image_id"].numpy().decode()
                number = int(name.removesuffix(".jpg").rpartition("/")[2])
                texts = [text.decode() for text in fields["captions"].numpy()]
                ids = fields["caption_ids"].to_list()
                found[split, number] = texts, ids, fields["image_features"].numpy()
    return found


def test_every_source_has_a_layout_here():
    assert LAYOUTS.keys() == set(SOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("source", LAYOUTS)
def test_a_source_gives_its_pictures_captions_and_splits(source, tmp_path):
    flags = LAYOUTS[source](tmp_path / "in")
    config = pipeline_config(
        flags.pop("input", str(tmp_path / "in")), tmp_path / "out", source=source,
        min_count=1, max_rejected=0.2, images_per_shard=4, **flags,
    )  # fmt: skip
    manifest = write_dataset(config).manifest
    found = records(tmp_path / "out", manifest)
    expected = {OURS[split_of(n)]: set() for n in PICTURES}
    for n in set(PICTURES) - {DAMAGED}:
        expected[OURS[split_of(n)]].add(n)
    by_split = {split: {n for s, n in found if s == split} for split in manifest.splits}
    if source == "flickr30k":  # it has no splits of its own
        assert set.union(*by_split.values()) == set.union(*expected.values())
    else:
        assert by_split == expected
    encoder = tf.saved_model.load(str(tmp_path / "out" / "image_encoder"))
    for (_, number), (texts, _, features) in found.items():
        assert texts == captions(number)
        alone = encoder(tf.constant([PICTURES[number]])).numpy()[0]
        np.testing.assert_allclose(features, alone, rtol=2**-9, atol=1e-3)
    assert sum(counts.rejected for counts in manifest.image_counts.values()) == 1
    assert verify_dataset(tmp_path / "out") == []


FOLDERS = "ab"
NAMES = "01"
# Twelve squares, four a split: two names in each of two folders.
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
