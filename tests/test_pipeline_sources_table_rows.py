"""Cells of tables, whatever file they lie in."""

import pytest

from pipeline.sources.table_rows import show, to_text


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
