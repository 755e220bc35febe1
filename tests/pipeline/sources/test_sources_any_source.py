"""Random small sources in every layout, from files to records and back.

A picture is a square of one colour and its captions name its number, so that a caption on the wrong
picture is seen. Names collide between folders, files and splits wherever a layout lets them; some
captions are empty and some pictures missing. Right is: every picture has its own captions and no
other's, in its split, and every row is in the accounts once.
"""

import csv
import io
import json
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coloured_squares import COLOURS, read_back, write
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_configs import pipeline_config

from pipeline.run import write_dataset

pytestmark = pytest.mark.usefixtures("copied_encoders")
SPLITS = {"train": "train", "val": "validation", "test": "test"}
# What captions hold besides words. No tab or line break: TSV and token files cannot have them.
TEXTS = st.lists(
    st.sampled_from(
        ['"', '""', "'", ",", "dog", "Café", "犬", "\u2019", "ü", "a;b", "[", "]", "{", "<b>", "\\",
         "#", "|", "NaN"]
    ),
    max_size=4,
).map(" ".join)  # fmt: skip


class Picture:
    """A picture of a source and what should become of it."""

    def __init__(self, number, split, name, texts, is_missing):
        self.number, self.split, self.name, self.is_missing = number, split, name, is_missing
        # The last is no caption at all.
        self.captions = [f"{text} picture {number} text {k}" for k, text in enumerate(texts)] + [""]

    @property
    def hint(self):
        """A path beside bytes that says nothing; where there are none it is the image."""
        return f"gone{self.number}.png" if self.is_missing else "image.png"

    @property
    def content(self):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), COLOURS[self.number]).save(file, "PNG")
        return file.getvalue()


@st.composite
def sources(draw):
    """Pictures whose names are unique within their split alone."""
    pictures, number = [], 0
    for split in SPLITS:
        for k in range(draw(st.integers(1, 4))):
            texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
            missing = k > 0 and draw(st.booleans())
            pictures.append(Picture(number, split, f"{k:04}.png", texts, missing))
            number += 1
    return draw(st.permutations(pictures))


def write_files(directory, pictures):
    for picture in pictures:
        if not picture.is_missing:
            write(directory / picture.split / picture.name, picture.content)


def of_split(pictures, split):
    return [picture for picture in pictures if picture.split == split]


def rows(pictures):
    return [(picture, text) for picture in pictures for text in picture.captions]


def csv_in_folders(root, pictures):
    write_files(root, pictures)
    for split in SPLITS:
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["file_name", "text"])
        table.writerows((p.name, caption) for p, caption in rows(of_split(pictures, split)))
        write(root / split / "metadata.csv", text.getvalue())
    return {"source": "table", "image_column": "file_name", "caption_column": "text"}


def tsv_with_a_split_column(root, pictures):
    write_files(root, pictures)
    lines = [f"{p.split}/{p.name}\t{p.split}\t{text}" for p, text in rows(pictures)]
    write(root / "captions.tsv", "\n".join(["image\tsplit\tcaption", *lines]))
    return {"source": "table"}


def jsonl_by_file_name(root, pictures):
    write_files(root, pictures)
    for split in SPLITS:
        lines = [
            json.dumps({"image": f"{split}/{p.name}", "caption": p.captions, "size": float("nan")})
            for p in of_split(pictures, split)
        ]
        write(root / f"{split}.jsonl", "\n".join(lines))
    return {"source": "table"}


def parquet_with_bytes(root, pictures):
    for split in SPLITS:
        entries = [
            {
                "image": {"bytes": None if p.is_missing else p.content, "path": p.hint},
                "captions": [{"raw": text, "id": k} for k, text in enumerate(p.captions)],
            }
            for p in of_split(pictures, split)
        ]
        root.mkdir(exist_ok=True, parents=True)
        pq.write_table(pa.Table.from_pylist(entries), root / f"{split}-00000-of-00001.parquet")
    return {"source": "table", "caption_column": "captions.raw"}


def coco(root, pictures):
    write_files(root, pictures)
    for split in SPLITS:
        chosen = of_split(pictures, split)
        captions = [(i, text) for i, p in enumerate(chosen) for text in p.captions]
        content = {
            "info": {"score": float("nan")},
            "images": [{"id": i, "file_name": p.name} for i, p in enumerate(chosen)],
            "annotations": [
                {"id": k, "image_id": i, "caption": text} for k, (i, text) in enumerate(captions)
            ],
        }
        write(root / "annotations" / f"captions_{split}.json", json.dumps(content))
    return {"source": "coco"}


def karpathy(root, pictures):
    write_files(root, pictures)
    entries = [
        {
            "filename": p.name, "filepath": p.split, "split": p.split,
            "sentences": [{"raw": text, "sentid": k} for k, text in enumerate(p.captions)],
        }
        for p in pictures
    ]  # fmt: skip
    write(root / "dataset_own.json", json.dumps({"images": entries}))
    return {"source": "karpathy"}


def webdataset(root, pictures):
    root.mkdir(exist_ok=True, parents=True)
    for split in SPLITS:
        with tarfile.open(root / f"{split}-000000.tar", "w") as tar:
            for picture in of_split(pictures, split):
                key = picture.name.removesuffix(".png")
                members = {"png": picture.content, "depth.png": b"no picture of ours"}
                if picture.is_missing:
                    del members["png"]
                members["json"] = json.dumps({"caption": picture.captions}).encode()
                for field, content in members.items():
                    info = tarfile.TarInfo(f"{key}.{field}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return {"source": "webdataset"}


def folder(root, pictures):
    write_files(root, pictures)
    for picture in pictures:
        name = picture.name.replace(".png", ".txt")
        write(root / picture.split / name, "\n".join(picture.captions))
    return {"source": "folder"}


LAYOUTS = [
    csv_in_folders, tsv_with_a_split_column, jsonl_by_file_name, parquet_with_bytes, coco, karpathy,
    webdataset, folder,
]  # fmt: skip
NO_EMPTY_LINES = (folder,)  # where an empty caption is no row: a blank line


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=3, deadline=None, phases=[Phase.generate])  # a pipeline an example
@given(pictures=sources())
def test_every_picture_has_its_own_captions_and_every_row_is_in_the_accounts_once(
    tmp_path_factory, layout, pictures
):
    root = tmp_path_factory.mktemp(layout.__name__)
    flags = layout(root / "source", pictures)
    output = str(root / "data")
    config = pipeline_config(
        str(root / "source"), output, min_count=1, features="image", max_rejected=1.0, **flags
    )
    manifest = write_dataset(config).manifest

    kept = [picture for picture in pictures if not picture.is_missing]
    found, ids = read_back(output)
    expected = [
        (SPLITS[p.split], p.number, [" ".join(text.split()) for text in p.captions[:-1]])
        for p in kept
    ]
    assert sorted(found) == sorted(expected)
    assert len(set(ids)) == len(ids)

    table = pq.read_table(os.path.join(output, "rejected.parquet")).to_pylist()
    empty = [] if layout in NO_EMPTY_LINES else pictures
    assert sum(row["stage"] == "caption" for row in table) == len(empty)
    lost = [picture for picture in pictures if picture.is_missing]
    by_split = sorted(row["split"] for row in table if row["stage"] != "caption")
    assert by_split == sorted(SPLITS[picture.split] for picture in lost)
    assert len(table) == len(empty) + len(lost)
    read = {split: counts.read for split, counts in manifest.image_counts.items() if counts.read}
    assert read == {ours: len(of_split(pictures, split)) for split, ours in SPLITS.items()}
