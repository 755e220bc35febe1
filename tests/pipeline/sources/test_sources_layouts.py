"""Layouts that people have, each as it is posted, and their right outcome: records or a refusal.

A picture is a square of one colour and its captions name it, so a wrong pair is seen.
"""

import json
import tarfile
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coloured_squares import COLOURS, read_back, write
from PIL import Image
from small_configs import pipeline_config

from pipeline.run import write_dataset
from tfrecords_schema.errors import InputError

pytestmark = pytest.mark.usefixtures("copied_encoders")
PICTURES = range(10)


def png(number, format="PNG"):
    file = BytesIO()
    Image.new("RGB", (8, 8), COLOURS[number]).save(file, format)
    return file.getvalue()


def caption(number):
    return f"a square of colour {number}"


def write_pngs(directory, numbers=PICTURES, name="{}.png"):
    for number in numbers:
        write(directory / name.format(number), png(number))


def table(*rows, mark=","):
    return "\n".join(mark.join(map(str, row)) for row in rows)


def run(root, source="table", **flags):
    config = pipeline_config(
        str(flags.pop("input", root / "in")), str(root / "out"), source=source, features="image",
        **{"min_count": 1, "max_rejected": 0.01} | flags,
    )  # fmt: skip
    write_dataset(config)
    found, ids = read_back(str(root / "out"))
    return {number: (split, texts) for split, number, texts in found}, sorted(ids)


def own(found):
    """Whether each of ten pictures has its own caption."""
    texts = {number: texts for number, (_, texts) in found.items()}
    return texts == {number: [caption(number)] for number in PICTURES}


def splits(found):
    names = [split for split, _ in found.values()]
    return [names.count(split) for split in ("train", "validation", "test")]


@pytest.mark.slow
def test_imagefolder_with_the_same_names_in_every_split(tmp_path):
    for split, numbers in (("train", range(6)), ("validation", (6, 7)), ("test", (8, 9))):
        rows = [("file_name", "text")]
        for k, number in enumerate(numbers):
            write(tmp_path / "in" / split / f"{k:04}.png", png(number))
            rows.append((f"{k:04}.png", caption(number)))
        write(tmp_path / "in" / split / "metadata.csv", table(*rows))
    columns = {"image_column": "file_name", "caption_column": "text"}
    found, ids = run(tmp_path, input=tmp_path / "in" / "*" / "metadata.csv", **columns)
    assert own(found) and splits(found) == [6, 2, 2]
    assert "test/0000.png" in ids and "train/0005.png" in ids


def test_parquet_with_one_path_in_every_row(tmp_path):
    rows = [{"image": {"bytes": png(n), "path": "image.png"}, "text": caption(n)} for n in PICTURES]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / "train.parquet")
    found, _ = run(tmp_path, caption_column="text")
    assert own(found) and splits(found) == [10, 0, 0]


def test_parquet_that_says_its_splits_by_its_names(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for split, numbers in (("train", range(7)), ("validation", (7, 8)), ("test", (9, 0))):
        rows = [{"image": {"bytes": png(n), "path": f"{n}.png"}, "text": caption(n)}
                for n in numbers]  # fmt: skip
        name = f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / name)
    run(tmp_path, caption_column="text")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {split: text["captions"] for split, text in report["text"].items()} == {
        "train": 7, "validation": 2, "test": 2,
    }  # fmt: skip
    output = capsys.readouterr().out
    assert "splits by the names of its files or folders" in output
    assert "1 pictures are in more than one split" in output


def write_tar(path, samples):
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for name, content in samples:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))


def members(number, **images):
    return [*((f"{number:09}.{field}", content) for field, content in images.items()),
            (f"{number:09}.txt", caption(number).encode())]  # fmt: skip


def test_webdataset_of_webp(tmp_path):
    samples = [m for n in PICTURES for m in members(n, WEBP=png(n, "WEBP"))]
    write_tar(tmp_path / "in" / "train-00000.tar", samples)
    found, _ = run(tmp_path, "webdataset")
    assert own(found)


def test_webdataset_whose_keys_have_dots_is_told_how_a_key_is_cut(tmp_path):
    fields = {"jpg": png(0), "txt": b"a dog"}
    samples = [(f"photo 2.{n} (final).{f}", fields[f]) for n in PICTURES for f in fields]
    write_tar(tmp_path / "in" / "train-00000.tar", samples)
    with pytest.raises(InputError, match=r"first dot of a name.*photo 2 are 0 \(final\)\.jpg"):
        run(tmp_path, "webdataset")


def test_webdataset_with_a_second_picture_beside_the_photograph(tmp_path):
    depth = {"depth.png": png(0)}
    samples = [m for n in PICTURES for m in members(n, **depth, jpg=png(n, "JPEG"))]
    write_tar(tmp_path / "in" / "train-00000.tar", samples)
    found, _ = run(tmp_path, "webdataset")
    assert own(found)


def test_webdataset_with_two_photographs_asks_which(tmp_path):
    samples = [m for n in PICTURES for m in members(n, png=png(0), jpg=png(n, "JPEG"))]
    write_tar(tmp_path / "in" / "train-00000.tar", samples)
    with pytest.raises(InputError, match=r"2 images, jpg and png: --image_field=jpg"):
        run(tmp_path, "webdataset")
    found, _ = run(tmp_path, "webdataset", image_field="jpg")
    assert own(found)


def test_quotes_in_tsv_are_text(tmp_path):
    write_pngs(tmp_path / "in")
    texts = [f'{mark}square{end} {n}' for n, (mark, end) in enumerate(
        [('"', '"'), ('"', ""), ("", '"'), ("'", ""), ("", ""), ('""', ""), ('"a" "', ""),
         (',"', ""), ('"', '",'), ("\\", '"')])]  # fmt: skip
    rows = [("image", "caption"), *((f"{n}.png", text) for n, text in enumerate(texts))]
    write(tmp_path / "in" / "captions.tsv", table(*rows, mark="\t"))
    found, _ = run(tmp_path, split_fractions=(1.0, 0.0, 0.0))
    assert {number: said for number, (_, [said]) in found.items()} == dict(enumerate(texts))


def test_a_quoted_cell_that_has_swallowed_rows_is_rejected_with_each_of_its_lines(tmp_path):
    write_pngs(tmp_path / "in")
    rows = [[f"{n}.png", caption(n), "train"] for n in PICTURES]
    rows[3][1], rows[5][1] = f'"{rows[3][1]}', f'{rows[5][1]}"'
    write(tmp_path / "in" / "t.csv", table(("image", "caption", "split"), *rows))
    with pytest.raises(InputError, match=r"3 of 10 captions.*lines 5 to 7 are one quoted cell"):
        run(tmp_path)
    found, _ = run(tmp_path, max_rejected=0.3)
    assert {number: texts for number, (_, texts) in found.items()} == {
        number: [caption(number)] for number in PICTURES if number not in (3, 4, 5)
    }


def test_a_cell_that_is_a_list_in_json(tmp_path):
    write_pngs(tmp_path / "in")
    rows = ["raw,split,filename"]
    for n in PICTURES:
        texts = json.dumps([caption(n), f"{n}, nothing else."]).replace('"', '""')
        rows.append(f'"{texts}",train,{n}.png')
    write(tmp_path / "in" / "annotations.csv", "\n".join(rows))
    found, _ = run(tmp_path, image_column="filename", caption_column="raw")
    assert found == {n: ("train", [caption(n), f"{n}, nothing else."]) for n in PICTURES}


def coco(root, name="{}.png", id=lambda number, k: number, mark="", **more):
    for split, numbers in (("train", range(7)), ("val", range(7, 10))):
        write_pngs(root / split, numbers)
        entries = list(enumerate(numbers))
        images = [{"id": id(n, k), "file_name": name.format(n, split=split), **more}
                  for k, n in entries]  # fmt: skip
        annotations = [{"id": id(n, k), "image_id": id(n, k), "caption": caption(n)}
                       for k, n in entries]  # fmt: skip
        content = json.dumps({"images": images, "annotations": annotations})
        write(root / "annotations" / f"captions_{split}.json", mark + content)


COCOS = {
    "file names with their folder": {"name": "{split}/{}.png"},
    "NaN in a field that nobody reads": {"height": float("nan"), "width": float("-inf")},
    "a byte order mark": {"mark": "\ufeff"},
    "ids that are text": {"id": lambda number, k: f"{number:05}"},
    "ids from 0 in each file": {"id": lambda number, k: k},
}


@pytest.mark.parametrize("flags", [{}, {"split_fractions": (1.0, 0.0, 0.0)}])
@pytest.mark.parametrize("kind", COCOS)
def test_coco_layouts_of_several_kinds_keep_captions_ids_and_splits(tmp_path, kind, flags):
    coco(tmp_path / "in", **COCOS[kind])
    found, ids = run(tmp_path, "coco", **flags)
    assert own(found) and splits(found) == ([10, 0, 0] if flags else [7, 3, 0])
    assert len(set(ids)) == 10


def test_vizwiz_whose_test_split_has_no_captions(tmp_path):
    coco(tmp_path / "in")
    folder = tmp_path / "in" / "annotations"
    for split in ("train", "val"):
        (folder / f"captions_{split}.json").rename(folder / f"{split}.json")
    write(folder / "test.json", json.dumps({"images": [{"id": 1, "file_name": "a.png"}]}))
    with pytest.raises(InputError, match=r"test\.json has images, .*--split_names=test=leave_out"):
        run(tmp_path, "coco")
    found, _ = run(tmp_path, "coco", split_names={"test": "leave_out"})
    assert own(found) and splits(found) == [7, 3, 0]


def test_a_script_without_spaces(tmp_path):
    texts = {n: f"墙上有第{n}个方块。" for n in PICTURES}
    write_pngs(tmp_path / "in")
    rows = [("image", "caption", "split"), *((f"{n}.png", texts[n], "train") for n in PICTURES)]
    write(tmp_path / "in" / "captions.csv", table(*rows))
    with pytest.raises(InputError, match=r"has no word.*--clean=characters"):
        run(tmp_path, min_count=5)
    found, _ = run(tmp_path, min_count=5, clean="characters", max_unknown=0.5)
    assert {number: said for number, (_, [said]) in found.items()} == texts
    words = (tmp_path / "out" / "vocabulary.txt").read_text().split()[4:]
    assert sorted(words) == sorted("墙上有第个方块")


def test_a_url_in_a_later_row(tmp_path):
    write_pngs(tmp_path / "in")
    rows = [("image", "caption"), *((f"{n}.png", caption(n)) for n in PICTURES)]
    write(tmp_path / "in" / "t.csv", table(*rows, ("https://example.org/x.jpg", "a")))
    with pytest.raises(InputError, match=r"row 12: .*example\.org.*img2dataset"):
        run(tmp_path)


def test_a_csv_table_in_utf16_is_read_and_told(tmp_path, capsys):
    write_pngs(tmp_path / "in")
    rows = [("image", "caption"), *((f"{n}.png", caption(n)) for n in PICTURES)]
    write(tmp_path / "in" / "train.csv", table(*rows).encode("utf-16"))
    found, _ = run(tmp_path)
    assert own(found)
    assert "is UTF-16" in capsys.readouterr().out


def test_a_column_for_each_caption(tmp_path):
    rows = [{"image": f"{n}.png", "caption_0": caption(n), "caption_1": f"{n} again"}
            for n in PICTURES]  # fmt: skip
    write_pngs(tmp_path / "in")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / "train.parquet")
    found, _ = run(tmp_path, caption_column="caption_0,caption_1")
    assert found == {n: ("train", [caption(n), f"{n} again"]) for n in PICTURES}


def test_a_list_of_structs(tmp_path):
    rows = [{"image": f"{n}.png", "sentences": [{"raw": caption(n), "tokens": ["a"], "sentid": n}]}
            for n in PICTURES]  # fmt: skip
    write_pngs(tmp_path / "in")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / "train.parquet")
    found, _ = run(tmp_path, caption_column="sentences.raw")
    assert own(found)


def test_json_that_is_one_list(tmp_path):
    rows = [{"image": f"{n}.png", "caption": caption(n), "image_id": f"x_{n}"} for n in PICTURES]
    write_pngs(tmp_path / "in")
    write(tmp_path / "in" / "train.json", json.dumps(rows))
    found, _ = run(tmp_path)
    assert own(found)
