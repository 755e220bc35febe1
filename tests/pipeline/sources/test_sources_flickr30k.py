"""Flickr30k on disk: both layouts, what is missing, and every kind of bad line."""

import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.flickr30k import (
    CSV_FILE,
    IMAGE_DIRECTORIES,
    TEXT_DIRECTORIES,
    TOKEN_FILE,
    find_flickr30k,
    read_part,
)
from pipeline.sources.mentions import Mention, Source
from tfrecords_schema.errors import InputError

TOKENS = "a.jpg#0\tA dog .\n"
CSV = "image_name| comment_number| comment\na.jpg| 0| A dog .\n"
KINDS = {TOKEN_FILE: "tokens", CSV_FILE: "csv"}
CONTENT = {TOKEN_FILE: TOKENS, CSV_FILE: CSV}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def make_source(root, captions_file=TOKEN_FILE, text="", images="flickr30k-images"):
    write(root / text / captions_file, CONTENT[captions_file])
    write(root / images / "a.jpg", b"image")
    return root


def read_csv(tmp_path, *lines, end="\n", mark=b""):
    lines = ["image_name| comment_number| comment", *lines]
    path = write(tmp_path / CSV_FILE, mark + end.join(lines).encode())
    return list(read_part(("csv", path)))


def caption(name, order, text):
    return Mention(name, caption_id=f"{name}#{order}", order=order, text=text)


@pytest.mark.parametrize("captions_file", [TOKEN_FILE, CSV_FILE])
@pytest.mark.parametrize("text", TEXT_DIRECTORIES)
@pytest.mark.parametrize("images", IMAGE_DIRECTORIES)
def test_every_layout_is_found(tmp_path, captions_file, text, images):
    root = make_source(tmp_path, captions_file, text, images)
    captions = os.path.join(root, text, captions_file)
    assert find_flickr30k(str(root)) == Source(
        parts=[(KINDS[captions_file], captions), ("images", os.path.join(root, images))],
        read=read_part,
        captions=captions,
        images=os.path.join(root, images),
    )


def test_the_usual_copy_of_flickr30k_is_read(tmp_path):
    make_source(tmp_path, CSV_FILE, "flickr30k_images", "flickr30k_images/flickr30k_images")
    source = find_flickr30k(str(tmp_path))
    assert [found for part in source.parts for found in source.read(part)] == [
        caption("a.jpg", 0, "A dog ."),
        Mention("a.jpg", uri=os.path.join(source.images, "a.jpg")),
    ]


def test_the_published_layout_of_flickr30k_is_read(tmp_path):
    source = find_flickr30k(str(make_source(tmp_path)))
    assert [found for part in source.parts for found in source.read(part)] == [
        caption("a.jpg", 0, "A dog ."),
        Mention("a.jpg", uri=os.path.join(source.images, "a.jpg")),
    ]


def test_the_token_file_is_taken_where_both_are_there(tmp_path):
    root = make_source(tmp_path, text="flickr30k")
    write(root / CSV_FILE, CSV)
    assert find_flickr30k(str(root)).captions == os.path.join(root, "flickr30k", TOKEN_FILE)


def test_the_published_line_without_its_second_bar_is_read(tmp_path):
    found = read_csv(
        tmp_path,
        "2199200615.jpg| 3| A dog is running .",
        "2199200615.jpg| 4   A dog runs across the grass .",
        "2218609886.jpg| 0| A boy .",
    )
    assert found == [
        caption("2199200615.jpg", 3, "A dog is running ."),
        caption("2199200615.jpg", 4, "A dog runs across the grass ."),
        caption("2218609886.jpg", 0, "A boy ."),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_files_of_every_system_read_the_same(tmp_path, end, mark):
    found = read_csv(
        tmp_path,
        "a.jpg| 0| Two  young guys .",
        "",
        'a.jpg| 1| " A sign says "" stop " .',
        "a.jpg|2|'Tis one, \"quoted",
        " b 1.png |12 | One | two| bars",
        "b 1.png| 013| Café 犬",
        end=end,
        mark=mark,
    )
    assert found == [
        caption("a.jpg", 0, "Two young guys ."),
        caption("a.jpg", 1, '" A sign says "" stop " .'),
        caption("a.jpg", 2, "'Tis one, \"quoted"),
        caption("b 1.png", 12, "One | two| bars"),
        caption("b 1.png", 13, "Café 犬"),
    ]


@pytest.mark.parametrize(
    "line, id, message",
    [
        (b"b.jpg| 1|", "b.jpg#1", "empty caption"),
        (b"b.jpg| 1|  ", "b.jpg#1", "empty caption"),
        (b"b.jpg| 1 ", "b.jpg#1", "empty caption"),
        (b"b.jpg| 1| A caf\xe9 .", "b.jpg#1", "not valid UTF-8: A caf\\xe9 ."),
        (b"caf\xe9.jpg| 1| A dog .", "caf\\xe9.jpg#1", "not valid UTF-8"),
        (b"b.jpg", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg 1 A dog .", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| 1", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| A dog .", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| 1A| dog", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| -1| A dog .", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| 1.0| A dog .", "{path}:3", "expected name.jpg| 0| caption"),
        (b"b.jpg| " + b"1" * 5000 + b"| A dog .", "{path}:3", "no image name"),
        (b"| 1| A dog .", "#1", "no image name"),
        (b" \t| 1| A dog .", "#1", "no image name"),
    ],
)
def test_a_bad_line_of_a_csv_file_costs_only_itself(tmp_path, line, id, message):
    path = write(tmp_path / CSV_FILE, CSV.encode() + line + b"\nc.jpg| 0| A cow .\n")
    before, reject, after = read_part(("csv", path))
    assert (before.caption_id, after.caption_id) == ("a.jpg#0", "c.jpg#0")
    assert reject.id == id.format(path=path)
    assert reject[1:5] == (path, UNASSIGNED, CAPTION, "ValueError")
    assert message in reject.message


def test_a_bad_line_of_a_token_file_costs_only_itself(tmp_path):
    path = write(tmp_path / TOKEN_FILE, f"bad\n{TOKENS}")
    reject, after = read_part(("tokens", path))
    assert (reject.id, after) == (f"{path}:1", caption("a.jpg", 0, "A dog ."))


GOOD_LINE = b"a.jpg| 3| A dog ."
LINES = st.one_of(
    st.just(GOOD_LINE),
    st.lists(
        st.sampled_from(
            [b"a.jpg", b"|", b" ", b"3", b"4", b"A dog .", b"\xe9", b"\r", b"\t", b'"']
        ),
        max_size=7,
    ).map(b"".join),
    st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(LINES, max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_every_line_of_a_csv_file_is_a_caption_or_a_reject(tmp_path_factory, lines, end):
    content = end.join([b"image_name| comment_number| comment", *lines])
    path = write(tmp_path_factory.getbasetemp() / CSV_FILE, content)
    outputs = list(read_part(("csv", path)))
    assert {type(output) for output in outputs} <= {Mention, Reject}
    decoded = content.decode("utf-8", "surrogateescape").split("\n")[1:]
    assert len(outputs) == sum(bool(line.strip()) for line in decoded)
    assert outputs.count(caption("a.jpg", 3, "A dog .")) >= lines.count(GOOD_LINE)
    for output in outputs:
        "".join(map(str, output)).encode("utf-8")  # whatever it is, it can be written


@settings(deadline=None)
@given(st.integers(0, 999_999_999), st.text(min_size=1), st.sampled_from(["|", "| ", " | ", " "]))
def test_whatever_follows_the_number_is_the_caption(tmp_path_factory, order, text, bar):
    assume(text.strip() and "\n" not in text and "\r" not in text)
    assume(bar.strip() or not text.strip().startswith("|"))
    found = read_csv(tmp_path_factory.getbasetemp(), f"a.jpg| {order}{bar}{text}")
    assert found == [caption("a.jpg", order, " ".join(text.split()))]


def assert_not_found(directory, *named):
    with pytest.raises(InputError) as error:
        find_flickr30k(str(directory))
    message = str(error.value)
    assert message.startswith("--input")
    for text in named:
        assert str(text) in message


def test_a_missing_directory_is_named(tmp_path):
    assert_not_found(tmp_path / "nowhere", tmp_path / "nowhere", "does not exist")


def test_wildcards_are_refused(tmp_path):
    assert_not_found(make_source(tmp_path / "my[1]"), "takes as wildcards")


def test_missing_captions_are_named(tmp_path):
    root = make_source(tmp_path, text="elsewhere")
    assert_not_found(root, root, TOKEN_FILE, CSV_FILE, f"flickr30k_images/{CSV_FILE}")


def test_missing_images_are_named(tmp_path):
    root = make_source(tmp_path, images="pictures")
    assert_not_found(root, root, "flickr30k-images", "flickr30k_images/flickr30k_images", "Images")


def test_a_data_set_of_text_needs_no_images(tmp_path):
    source = find_flickr30k(str(make_source(tmp_path, images="pictures")), needs_images=False)
    assert [kind for kind, _ in source.parts] == ["tokens"]
    assert source.images == "" and not source.has_splits


@pytest.mark.parametrize("captions_file", [TOKEN_FILE, CSV_FILE])
def test_an_empty_captions_file_is_named(tmp_path, captions_file):
    root = make_source(tmp_path, captions_file)
    write(root / captions_file, "\n")
    assert_not_found(root, root / captions_file, "is empty")


@pytest.mark.parametrize("first", ["a.jpg| 0| A dog .", "image_name,comment_number,comment"])
def test_a_csv_without_its_header_is_refused_with_what_it_has(tmp_path, first):
    root = make_source(tmp_path, CSV_FILE)
    write(root / CSV_FILE, f"{first}\nb.jpg| 0| A cat .\n")
    assert_not_found(root, root / CSV_FILE, repr(first), "image_name| comment_number| comment")


@pytest.mark.parametrize(
    "first", ["image_name|comment_number|comment", "\n image_name | comment_number|comment \r"]
)
def test_a_csv_header_may_be_padded_or_not(tmp_path, first):
    root = make_source(tmp_path, CSV_FILE)
    path = write(root / CSV_FILE, f"{first}\nb.jpg| 0| A cat .\n")
    assert find_flickr30k(str(root)).captions == path
    assert list(read_part(("csv", path))) == [caption("b.jpg", 0, "A cat .")]
