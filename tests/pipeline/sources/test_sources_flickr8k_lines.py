"""Lines of Flickr8k captions files: encodings, line ends, and what each bad line costs."""

import pytest
from flickr8k_files import CSV, NAMES, TOKENS, make_source, write
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.flickr8k import CSV_FILE, TOKEN_FILE, find_flickr8k, read_part
from pipeline.sources.mentions import Mention


def read(tmp_path, content, name=TOKEN_FILE):
    return read_captions(write(tmp_path / name, content))


def read_captions(path):
    return list(read_part(("csv" if path.endswith(CSV_FILE) else "tokens", path)))


def caption(name, caption_id, order, text):
    return Mention(name, caption_id=caption_id, order=order, text=text)


def rejected(outputs):
    return [(output.id, output.message) for output in outputs if isinstance(output, Reject)]


def captions(outputs):
    return [output for output in outputs if isinstance(output, Mention)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_files_in_other_encodings_of_unicode_read_the_same(tmp_path, encoding):
    root = make_source(tmp_path, CSV_FILE, splits=False)
    path = write(root / CSV_FILE, (CSV + "b.jpg,Café 犬\n").encode(encoding))
    assert find_flickr8k(str(root), NAMES).captions == path
    assert read_captions(path) == [
        caption("a.jpg", "a.jpg:2", 2, "A dog ."), caption("b.jpg", "b.jpg:3", 3, "Café 犬"),
    ]  # fmt: skip
    tokens = write(root / TOKEN_FILE, f"{TOKENS}b.jpg#1\tCafé 犬\n".encode(encoding))
    assert [one.text for one in read_captions(tokens)] == ["A dog .", "Café 犬"]


def test_lines_may_end_in_carriage_returns_alone(tmp_path):
    tokens = "a.jpg#0\tA dog .\rb.jpg#1\tA cat .\r\rc.jpg#0\tA cow ."
    assert [one.text for one in read(tmp_path, tokens)] == ["A dog .", "A cat .", "A cow ."]
    rows = "image,caption\ra.jpg,A dog .\rb.jpg,A cat .\r"
    assert [one.text for one in read(tmp_path, rows, CSV_FILE)] == ["A dog .", "A cat ."]


def test_a_carriage_return_within_a_line_never_joins_two_captions(tmp_path):
    content = "a.jpg#0\tA dog .\nb.jpg#0\tA cat .\rc.jpg#0\tA cow .\nd.jpg#0\tA hen .\n"
    one, reject, two = read(tmp_path, content)
    assert (one.text, two.text) == ("A dog .", "A hen .")
    assert "expected name.jpg#0<TAB>caption" in reject.message


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_token_files_of_every_system_read_the_same(tmp_path, end, mark, last):
    lines = ["a.jpg#0\tA  dog .", "", "a.jpg#12\tTwo\tdogs , one cat", "b#1.png#3\tCafé 犬"]
    content = mark + (end.join(lines) + end * last).encode()
    assert read(tmp_path, content) == [
        caption("a.jpg", "a.jpg#0", 0, "A dog ."),
        caption("a.jpg", "a.jpg#12", 12, "Two dogs , one cat"),
        caption("b#1.png", "b#1.png#3", 3, "Café 犬"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_files_of_every_system_read_the_same(tmp_path, end, mark):
    lines = [
        "image,caption",
        "a.jpg,A dog .",
        "",
        'a.jpg,"One dog, two ""hot"" cats"',
        " b.png ,A dog, a cat, a cow",
        'c.jpg,"Café  犬"',
    ]
    assert read(tmp_path, mark + end.join(lines).encode(), CSV_FILE) == [
        caption("a.jpg", "a.jpg:2", 2, "A dog ."),
        caption("a.jpg", "a.jpg:4", 4, 'One dog, two "hot" cats'),
        caption("b.png", "b.png:5", 5, "A dog, a cat, a cow"),
        caption("c.jpg", "c.jpg:6", 6, "Café 犬"),
    ]


def test_blank_lines_before_a_csv_header_are_left_out(tmp_path):
    root = make_source(tmp_path, CSV_FILE, splits=False)
    path = write(root / CSV_FILE, f"\r\n\n{CSV}")
    assert find_flickr8k(str(root), NAMES).captions == path
    assert read_captions(path) == [caption("a.jpg", "a.jpg:4", 4, "A dog .")]


@pytest.mark.parametrize(
    "line, id, message",
    [
        (b"b.jpg#1\t", "b.jpg#1", "empty caption"),
        (b"b.jpg#1\t \t ", "b.jpg#1", "empty caption"),
        (b"b.jpg#1\tA caf\xe9 .", "b.jpg#1", "not valid UTF-8: A caf\\xe9 ."),
        (b"caf\xe9.jpg#1\tA dog .", "caf\\xe9.jpg#1", "not valid UTF-8"),
        (b"b.jpg#1 A dog .", "{path}:2", "expected name.jpg#0<TAB>caption"),
        (b"b.jpg#1", "{path}:2", "expected name.jpg#0<TAB>caption"),
        (b"b.jpg\tA dog .", "{path}:2", "expected name.jpg#0<TAB>caption"),
        (b"b.jpg#one\tA dog .", "{path}:2", "expected name.jpg#0<TAB>caption"),
        (b"b.jpg#-1\tA dog .", "{path}:2", "expected name.jpg#0<TAB>caption"),
        (b"b.jpg#" + b"1" * 5000 + b"\tA dog .", "{path}:2", "no image name"),
        (b"#1\tA dog .", "#1", "no image name"),
    ],
)
def test_a_bad_line_of_a_token_file_costs_only_itself(tmp_path, line, id, message):
    path = write(tmp_path / TOKEN_FILE, b"a.jpg#0\tA dog .\n" + line + b"\nc.jpg#0\tA cow .\n")
    before, reject, after = read_captions(path)
    assert (before.caption_id, after.caption_id) == ("a.jpg#0", "c.jpg#0")
    assert reject.id == id.format(path=path)
    assert reject[1:5] == (path, UNASSIGNED, CAPTION, "ValueError")
    assert message in reject.message


@pytest.mark.parametrize(
    "line, id, message",
    [
        (b"b.jpg,", "b.jpg:3", "empty caption"),
        (b"b.jpg,A caf\xe9 .", "b.jpg:3", "not valid UTF-8"),
        (b"b.jpg", "{path}:3", "no image name"),
        (b",A dog .", "{path}:3", "no image name"),
        (b'b.jpg,A "dog"\rruns', "{path}:3", "no image name"),
    ],
)
def test_a_bad_line_of_a_csv_file_costs_only_itself(tmp_path, line, id, message):
    content = b"image,caption\na.jpg,A dog .\n" + line + b"\nc.jpg,A cow .\n"
    path = write(tmp_path / CSV_FILE, content)
    before, reject, after = read_captions(path)
    assert (before.caption_id, after.caption_id) == ("a.jpg:2", "c.jpg:4")
    assert reject.id == id.format(path=path)
    assert reject[1:5] == (path, UNASSIGNED, CAPTION, "ValueError")
    assert message in reject.message


def test_an_overlong_csv_field_is_rejected_and_what_follows_is_read(tmp_path):
    content = 'image,caption\na.jpg,"' + "A dog " * 30_000 + "\nb.jpg,A cat .\n"
    reject, found = read(tmp_path, content, CSV_FILE)
    assert isinstance(reject, Reject)
    assert found == caption("b.jpg", "b.jpg:3", 3, "A cat .")


@st.composite
def odd_lines(draw, name, tab):
    """A line, without its end, that is more or less one of a captions file."""
    parts = st.sampled_from(
        [
            name,
            tab,
            b"#1",
            b"#",
            b"\t",
            b",",
            b" ",
            b"\r",
            b"A dog .",
            b".",
            b"\xe9",
            b"\xef\xbb\xbf",
        ]
    )
    return draw(
        st.one_of(
            st.just(name + tab + b"A dog ."),
            st.lists(parts, max_size=6).map(b"".join),
            st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b'"', b"")),
        )
    )


def decoded_lines(content):
    return content.decode("utf-8-sig", "surrogateescape").split("\n")


@settings(deadline=None, max_examples=200)
@given(st.lists(odd_lines(b"a.jpg", b"#0\t"), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
@example([b"\x1c", b"\xef\xbb\xbfa.jpg#0\tx", b"\xc2\x85", b"a\rb"], b"\n")
def test_every_line_of_a_token_file_is_a_caption_or_a_reject(tmp_path_factory, lines, end):
    # The first line shows how lines end.
    lines = [b"a.jpg#0\tA dog .", *lines]
    content = end.join(lines)
    path = write(tmp_path_factory.getbasetemp() / TOKEN_FILE, content)
    outputs = read_captions(path)
    assert {type(output) for output in outputs} <= {Mention, Reject}
    assert len(outputs) == sum(bool(line.strip()) for line in decoded_lines(content))
    well_formed = [line for line in lines if line == b"a.jpg#0\tA dog ."]
    assert captions(outputs).count(caption("a.jpg", "a.jpg#0", 0, "A dog .")) >= len(well_formed)
    for output in outputs:
        "".join(map(str, output)).encode("utf-8")  # whatever it is, it can be written


@settings(deadline=None, max_examples=200)
@given(st.lists(odd_lines(b"a.jpg", b","), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
@example([b",", b" ", b"\r\r", b"a\rb,c"], b"\n")
def test_every_line_of_a_csv_without_quotes_is_a_caption_or_a_reject(tmp_path_factory, lines, end):
    content = end.join([b"image,caption", *lines])
    path = write(tmp_path_factory.getbasetemp() / CSV_FILE, content)
    outputs = read_captions(path)
    assert len(outputs) == sum(bool(line.strip("\r")) for line in decoded_lines(content)[1:])
    for output in outputs:
        "".join(map(str, output)).encode("utf-8")


def test_whether_a_caption_has_words_is_left_to_the_join(tmp_path):
    assert read(tmp_path, "a.jpg#0\t . !\n") == [caption("a.jpg", "a.jpg#0", 0, ". !")]
    content = 'image,caption\na.jpg," ,"\n'
    assert read(tmp_path, content, CSV_FILE) == [caption("a.jpg", "a.jpg:2", 2, ",")]


def test_rejects_do_not_repeat_or_hide_each_other(tmp_path):
    outputs = read(tmp_path, "bad\nbad\na.jpg#0\t\nb.jpg#0\tA dog .\nbad\n")
    assert [id.rpartition(":")[2] for id, _ in rejected(outputs)] == ["1", "2", "a.jpg#0", "5"]
    assert len(captions(outputs)) == 1


def test_a_quote_that_is_not_closed_is_a_reject_that_names_its_lines(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text('image,caption\na.jpg,A cat\nb.jpg,"A dog\nc.jpg,A bird\nd.jpg,"A fish"\n')
    found = read_captions(str(path))
    assert isinstance(found[0], Mention) and found[0].text == "A cat"
    assert all(isinstance(row, Reject) for row in found[1:])
    assert found[1].id.startswith(f"{path}:3-")
    assert "quote not closed" in found[1].message and "A bird" in found[1].message
