"""Lines of CSV and TSV: bad ones cost only themselves, and none is lost."""

import csv
import io
import os
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.sources import table_csv
from pipeline.sources.table_csv import csv_header, read_csv
from pipeline.sources.table_rows import Cells, Columns
from tfrecords_schema.errors import InputError

TWO = Columns(split="")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(path, columns=TWO, delimiter="", quoting="", header=()):
    return list(read_csv(str(path), delimiter, quoting, header, columns))


def used(rows):
    """(line, image, caption), whitespace collapsed."""
    return [(n, r.image, " ".join(r.caption.split())) for n, r in rows if isinstance(r, Cells)]


def rejected(rows):
    return {number: row for number, row in rows if isinstance(row, str)}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("last", [True, False])
def test_csv_files_of_every_system_read_the_same(tmp_path, end, encoding, last):
    lines = ["", "image, caption", "a.jpg,A  dog", " ", 'b.jpg,"Two', 'lines ""hot"""', "c.jpg,犬"]
    path = write(tmp_path / "t.csv", (end.join(lines) + end * last).encode(encoding))
    assert csv_header(path) == ["image", "caption"]
    assert used(read(path)) == [
        (3, "a.jpg", "A dog"), (5, "b.jpg", 'Two lines "hot"'), (7, "c.jpg", "犬"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line, message",
    [
        (b"b.jpg", "1 columns, expected 2 as in the header"),
        (b"b.jpg,A dog, a cat", "3 columns, expected 2"),
        (b'b.jpg,"A dog" barks', "is a quote not closed? 'b.jpg,\"A dog\" barks'"),
        (b'b.jpg,"A dog', "is a quote not closed?"),
        (
            b"b.jpg,A d\0g",
            "holds a NUL byte, is the file UTF-16 without a byte order mark? 'b.jpg,A",
        ),
        (b"b.jpg," + b"A dog " * 30_000, "field larger than field limit"),
    ],
)
@pytest.mark.parametrize("after", [b"c.jpg,A cow\nd.jpg,A hen", b'c.jpg,"A cow"\nd.jpg,"A hen"'])
def test_a_bad_line_of_a_csv_file_costs_only_itself(tmp_path, line, message, after):
    path = write(tmp_path / "t.csv", b"image,caption\na.jpg,A dog\n" + line + b"\n" + after)
    found = read(path)
    assert used(found) == [(2, "a.jpg", "A dog"), (4, "c.jpg", "A cow"), (5, "d.jpg", "A hen")]
    assert list(rejected(found)) == [3] and len(rejected(found)[3]) < 200
    assert message in rejected(found)[3].replace("\0", "\\x00")


def test_a_carriage_return_within_a_line_is_a_space(tmp_path):
    path = write(
        tmp_path / "t.csv", b'image,caption\na.jpg,A\rdog\nb.jpg,"A\rcat"\r\nc.jpg,A cow\n'
    )
    assert used(read(path)) == [(2, "a.jpg", "A dog"), (3, "b.jpg", "A cat"), (4, "c.jpg", "A cow")]


def test_quotes_of_tsv_are_text_unless_asked_for(tmp_path):
    lines = [
        "image\tcaption",
        'a.jpg\t"hot" dog',
        'b.jpg\t"A cat',
        'c.jpg\tsays "',
        'd.jpg\t"A, b"',
    ]
    path = write(tmp_path / "t.tsv", "\n".join(lines))
    expected = ['"hot" dog', '"A cat', 'says "', '"A, b"']
    assert [caption for _, _, caption in used(read(path))] == expected
    text = write(tmp_path / "t.txt", "\n".join(lines))
    assert read(text, delimiter="\t") == read(path)
    found = read(path, quoting="csv")
    assert rejected(found).keys() == {2, 3, 4} and used(found) == [(5, "d.jpg", "A, b")]


def test_quotes_of_csv_may_be_text(tmp_path):
    path = write(tmp_path / "t.csv", 'image,caption\na.jpg,"A dog\nb.jpg,A "cat"\n')
    assert used(read(path, quoting="none")) == [(2, "a.jpg", '"A dog'), (3, "b.jpg", 'A "cat"')]


@pytest.mark.parametrize("delimiter", [";", "|", "\t", " "])
def test_a_delimiter_may_be_given(tmp_path, delimiter):
    rows = [["image", "caption"], ["a.jpg", "A,dog"], ["b.jpg", "x"]]
    path = write(tmp_path / "t.csv", "\n".join(map(delimiter.join, rows)))
    assert used(read(path, delimiter=delimiter)) == [(2, "a.jpg", "A,dog"), (3, "b.jpg", "x")]


def test_a_table_without_a_header_takes_given_names(tmp_path):
    path = write(tmp_path / "t.csv", "A dog,a.jpg,7\nA cat,b.jpg\n")
    header = ["caption", "image", "n"]
    assert csv_header(path, "", "", header) == header
    found = read(path, header=header)
    assert used(found) == [(1, "a.jpg", "A dog")]
    assert rejected(found) == {2: "2 columns, expected 3 as in --columns"}


LINES_LIKE_ROWS = [
    ['a.jpg,"A dog', "b.jpg,A cat", 'c.jpg,A cow"'],
    ['a.jpg,"A dog', 'b.jpg,A cat"'],
    ['a.jpg,"A dog', 'b.jpg,""', 'c.jpg,A 5""', 'x"'],
    ['a.jpg,"A dog', "b.jpg,a man, a plan, a canal", 'c.jpg,a hen, a cow"'],
    ['"A man, a plan,a.jpg', 'A dog",b.jpg'],
]


@pytest.mark.parametrize("lines", LINES_LIKE_ROWS)
def test_a_quoted_cell_whose_lines_look_like_rows_is_not_used(tmp_path, lines):
    content = ["image,caption", "y.jpg,Before", *lines, "", "z.jpg,After"]
    found = read(write(tmp_path / "t.csv", "\n".join(content)))
    last = 2 + len(lines)
    assert used(found) == [(2, "y.jpg", "Before"), (last + 2, "z.jpg", "After")]
    assert list(rejected(found)) == list(range(3, last + 1))
    message = f"lines 3 to {last} are one quoted cell whose lines look like rows: is a quote not"
    assert rejected(found)[3].startswith(message)
    assert "begins on line 3" in rejected(found)[4]


def test_lines_look_like_rows_in_wider_tables_too(tmp_path):
    content = 'id,caption,image\n1,"A dog,a.jpg\n2,A cat, big,b.jpg\n3,A cow",c.jpg\n'
    assert list(rejected(read(write(tmp_path / "t.csv", content)))) == [2, 3, 4]


def test_a_quoted_cell_may_have_line_breaks(tmp_path):
    content = 'image,caption,n\na.jpg,"A dog\n\nruns, and\nrests",7\nb.jpg,A cat,8\n'
    path = write(tmp_path / "t.csv", content)
    assert used(read(path)) == [(2, "a.jpg", "A dog runs, and rests"), (6, "b.jpg", "A cat")]


def test_a_record_of_several_lines_and_another_width_costs_each_line(tmp_path):
    path = write(tmp_path / "t.csv", 'image,caption\na.jpg,"A dog\nruns",x\nb.jpg,A cat\n')
    found = read(path)
    assert list(rejected(found)) == [2, 3] and used(found) == [(4, "b.jpg", "A cat")]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \n"])
def test_an_empty_csv_file_is_named(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    for call in (lambda: csv_header(path), lambda: read(path)):
        with pytest.raises(InputError, match=r"t\.csv is empty"):
            call()


@pytest.mark.parametrize(
    "content, named",
    [
        ('"image,caption\na,b\n', "is a quote not closed"),
        ('image,"caption\na.jpg,A dog"\n', "lines 1 to 2 are one quoted cell"),
        ("image,cap\0tion\n", "NUL"),
        ("图片,说明\n".encode("utf-16-le"), "is the file UTF-16 without a byte order mark"),
    ],
)
def test_a_header_that_cannot_be_read_is_named(tmp_path, content, named):
    with pytest.raises(InputError, match=f"t.csv: the header: .*{named}"):
        csv_header(write(tmp_path / "t.csv", content))


def test_a_csv_file_that_lost_a_column_since_it_was_found_is_refused(tmp_path):
    path = write(tmp_path / "t.csv", "image,text\n")
    with pytest.raises(InputError, match=r"no column 'caption' .*it has: 'image', 'text'$"):
        read(path)


def test_captions_of_several_columns_and_of_fields_are_put_together(tmp_path):
    cell = '"[{""raw"": ""A dog""}, {""raw"": ""A cat""}]"'
    path = write(tmp_path / "t.csv", f"image,one,two,s\na.jpg,A cow,,{cell}\n,A hen, A pig ,\n")
    found = read(path, Columns(caption="two,one", split=""))
    assert [row.caption for _, row in found] == [["A cow"], [" A pig ", "A hen"]]
    found = read(path, Columns(caption="s.raw,one", split=""))
    assert [row.caption for _, row in found] == [["A dog", "A cat", "A cow"], ["A hen"]]
    found = read(path, Columns(caption="s.raw", split=""))
    assert [row.caption for _, row in found] == [["A dog", "A cat"], None]


def test_a_lost_line_is_a_defect_that_is_seen(tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", 'image,caption\na.jpg,"A dog\nb.jpg,A cat\n')
    monkeypatch.setattr(table_csv._Lines, "give_back_all_but_one", lambda lines: lines.taken.pop())
    with pytest.raises(RuntimeError, match="3 lines were read, 2 are accounted for"):
        read(path)


CELLS = st.lists(
    st.sampled_from([b"a.jpg", b",", b'"', b'""', b" ", b"\r", b"\n", b"A dog", b"\xe9", b"\0"]),
    max_size=6,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.one_of(st.just(b"a.jpg,A dog"), CELLS), max_size=8),
    st.sampled_from(["csv", "none"]),
)
@example([b'a.jpg,"A dog', b"a.jpg,A dog", b'a.jpg,"A dog"'], "csv")
@example([b'a.jpg,"A dog', b"a.jpg,A dog"], "csv")
def test_every_line_of_a_csv_is_in_a_row_or_a_reject(tmp_path_factory, rows, quoting):
    content = b"image,caption\n" + b"\n".join(rows)
    found = read(write(tmp_path_factory.getbasetemp() / "odd.csv", content), quoting=quoting)
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    # A line that begins no row is blank, or lies within the quotes of the row before it.
    for number, line in enumerate(lines[1:], 2):
        if line.strip("\r ") and number not in numbers:
            before = max((n for n in numbers if n < number), default=0)
            assert before and '"' in lines[before - 1] and quoting == "csv"
            assert isinstance(dict(found)[before], Cells)
            assert len(line.strip("\r").split(",")) != 2
    good = [row for _, row in found if isinstance(row, Cells)]
    if b'"' not in content or quoting == "none":
        assert len(numbers) == sum(bool(line.strip("\r ")) for line in lines[1:])
        assert len(good) >= rows.count(b"a.jpg,A dog")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([b'x.jpg,"A cat', b"x", b'x,"y" z', b'"']), min_size=1, max_size=4))
def test_quotes_that_are_not_closed_swallow_no_row(tmp_path_factory, bad):
    good = [b"a%d.jpg,A dog" % i for i in range(3)]
    content = b"\n".join([b"image,caption", good[0], *bad, good[1], good[2]])
    found = read(write(tmp_path_factory.getbasetemp() / "quotes.csv", content))
    assert {n for n, _ in found} >= {2, len(bad) + 3, len(bad) + 4}
    assert not any(".jpg" in caption or "A dog " in caption for _, _, caption in used(found))


WORDS = st.lists(
    st.sampled_from(["A dog", '"', ",", '""', " ", "12", "a 5", '"hot"', "runs"]), max_size=5
).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=8), st.sampled_from(["caption", "image"]), st.booleans())
@example(['"A dog runs', "A man, a plan", 'A hen, "12"'], "image", False)
@example(['"A dog,', "a man, a plan", 'A hen"'], "caption", False)
def test_rows_that_were_joined_without_quotes_do_not_swallow_each_other(
    tmp_path_factory, captions, first, has_splits
):
    lines = [("caption,image" if first == "caption" else "image,caption") + ",split" * has_splits]
    for i, caption in enumerate(captions):
        pair = (caption, f"{i}.jpg") if first == "caption" else (f"{i}.jpg", caption)
        lines.append(",".join(pair) + ",train" * has_splits)
    path = write(tmp_path_factory.getbasetemp() / "naive.csv", "\n".join(lines))
    found = dict(read(path))
    assert list(found) == list(range(2, len(lines) + 1))
    for number, cells in found.items():
        if isinstance(cells, Cells):
            assert (cells.image, ".jpg" in cells.caption) == (f"{number - 2}.jpg", False)


TEXT = st.text(
    st.sampled_from("ab\"',;\t \n\r[]é犬\u2028\x85#") | st.characters(codec="utf-8"), max_size=12
).filter(lambda text: "\0" not in text)


def whole(text):
    return " ".join(text.split())


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=8),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_a_csv_that_python_writes_is_read_back_or_rejected(
    tmp_path_factory, rows, delimiter, quoting, end, encoding
):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["image", "caption", "id"])
    starts = []
    for row in rows:
        starts.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    path = write(tmp_path_factory.getbasetemp() / "rows.csv", out.getvalue().encode(encoding))
    found = dict(read(path, Columns(split="", id="id"), delimiter, "csv"))
    for start, row in zip(starts, rows, strict=True):
        cells = found[start]
        if isinstance(cells, Cells):
            assert list(map(whole, (cells.image, cells.caption, cells.id))) == list(map(whole, row))
        else:
            assert any("\n" in cell for cell in row)  # nothing else is refused
    # No row comes out of the middle of another.
    assert {n for n, cells in found.items() if isinstance(cells, Cells)} <= set(starts)


def test_a_csv_file_is_not_held_in_memory(tmp_path):
    path = write(tmp_path / "t.csv", "image,caption\n" + f"a.jpg,{'A dog' * 20}\n" * 20_000)
    tracemalloc.start()
    count = sum(1 for _ in read_csv(path, "", "", (), TWO))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 500_000 < os.path.getsize(path) / 4
