"""Columns and cells of tables, whatever file they lie in."""

import pytest

from pipeline.accounting.rejects import Reject
from pipeline.sources.mentions import Mention
from pipeline.sources.table_rows import (
    Cells,
    Columns,
    check_columns,
    show,
    to_text,
    with_captions,
    without_nul,
)
from tfrecords_schema.errors import InputError


@pytest.mark.parametrize(
    "value, text",
    [
        (None, ""), ("é", "é"), (b"\xc3\xa9", "é"), (7, None), (["x"], None),
        (b"\xe9", "\udce9"), ("\ud83d", "\udced\udca0\udcbd"), ("\udce9", "\udce9"),
    ],
)  # fmt: skip
def test_cells_become_text(value, text):
    assert to_text(value) == text
    show(value).encode("utf-8")


def said(value):
    """[(place, caption or what is wrong)] of a cell with captions."""
    rows = with_captions(Mention("a.jpg", caption_id="t:7", order=5), value, "t")
    return [
        (row.id, row.message) if isinstance(row, Reject) else (row.caption_id, row.text)
        for row in rows
    ]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_cell_is_a_caption_or_a_list_of_them(as_bytes):
    for text, captions in [
        ("A  dog", ["A dog"]),
        ("[1] a dog", ["[1] a dog"]),
        ("[1]", ["[1]"]),
        ('["A dog", "A cat"]', ["A dog", "A cat"]),
        ("['A dog', \"A dog's tail\"]", ["A dog", "A dog's tail"]),
    ]:
        places = ["t:7"] if len(captions) == 1 else ["t:7#0", "t:7#1"]
        expected = list(zip(places, captions, strict=True))
        assert said(text.encode() if as_bytes else text) == expected
    assert said('["A dog"]') == said(["A dog"]) == [("t:7#0", "A dog")]


def test_captions_that_cannot_be_used_are_rejected_by_themselves():
    assert said(["A dog", None, 7, "A\0cat", b"\xe9"]) == [
        ("t:7#0", "A dog"),
        # A null in a list is no caption.
        ("t:7#2", "the caption is '7': expected a text or a list of texts"),
        ("t:7#3", "the caption holds a NUL character: 'A\\x00cat'"),
        ("t:7#4", "not valid UTF-8: \\xe9"),
    ]
    for nothing in (None, "", [], "[]", [None], " "):
        assert said(nothing) == [("t:7", "empty caption"), ("", "")]


def test_a_nul_in_a_name_is_found():
    good = Cells(b"a.jpg", "A\0dog", None, 7)
    assert without_nul(good) is good
    for bad in (good._replace(image="a\0"), good._replace(split=b"\0"), good._replace(id="\0")):
        assert "holds a NUL character" in without_nul(bad)


def refused(names, **columns):
    with pytest.raises(InputError) as error:
        check_columns("t.csv", names, Columns(**columns))
    return str(error.value)


def test_columns_are_looked_for():
    names = ["image", "caption", "sentences", "sentences.raw", "unknown", "a,b"]
    for caption in ("caption", "caption,sentences.raw", "a,b", "unknown.raw", "unknown.x,caption"):
        check_columns("t.csv", names, Columns(caption=caption))
    has = "it has: 'image', 'caption', 'sentences', 'sentences.raw', 'unknown', 'a,b'"
    assert refused(names, caption="text") == (
        f"--input: t.csv has no column 'text' (--caption_column=text); {has}"
    )
    for caption, missing in [
        ("caption,text", "text"), ("sentences.x", "sentences.x"), ("x.raw", "x.raw"),
        ("caption,", ""), ("b,a", "b"),
    ]:  # fmt: skip
        message = f"no column {missing!r} (--caption_column={caption}); {has}"
        assert message in refused(names, caption=caption)
    assert "no column 'path' (--image_column=path)" in refused(names, image="path")
    assert "no column 'id' (--id_column=id)" in refused(names, id="id")
    assert "no column 'part' (--split_column=part)" in refused(names, split="part")
    assert "has 2 columns 'caption'" in refused([*names, "caption"])
    assert len(refused([f"column {i}" for i in range(1000)])) < 1200


def test_a_flag_that_would_help_is_named():
    assert "--delimiter" in refused(["image;caption"])
    assert "--columns=image,caption" in refused(["a.jpg", "A dog"])
