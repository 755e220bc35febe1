"""Text files: their lines, whatever their encoding, line ends and compression."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.text_files import CHUNK, first_line, read_lines, read_utf8
from tfrecords_schema.errors import InputError


def write(path, content=b"x"):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_lines_keep_their_ends_and_the_bytes_that_are_not_utf8(tmp_path):
    path = write(tmp_path / "lines", b"\xef\xbb\xbfa\r\nb\rc\n\n caf\xe9\x85\xe7\x8a\xac\x0cd")
    assert list(read_lines(path)) == ["a\r\n", "b\rc\n", "\n", " caf\udce9\udc85犬\x0cd"]


def test_the_first_line_is_the_first_that_is_not_blank(tmp_path):
    assert first_line(write(tmp_path / "lines", "\n \r\n a b \nc\n")) == "a b"


@pytest.mark.parametrize("content", ["", "\n \r\n"])
def test_a_file_without_a_first_line_is_named(tmp_path, content):
    path = write(tmp_path / "lines", content)
    with pytest.raises(InputError, match="is empty") as error:
        first_line(path)
    assert path in str(error.value)


TEXTS = [
    "image,caption\na.jpg,A dog\n",
    "image,caption\na.jpg,一只狗。\nb.jpg,一一一一一一\n",
    "id,图片,说明\n一.jpg,一只狗在草地上跑。\n" * 3000,  # over several chunks
    "a.jpg,ĀāĀ 😀\n",
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_text_is_read_from_every_encoding_line_end_and_compression(tmp_path, encoding, end, suffix):
    for text in TEXTS:
        content = text.replace("\n", end).encode(encoding)
        path = write(tmp_path / f"t{suffix}", gzip.compress(content) if suffix else content)
        assert [line.rstrip("\r\n") for line in read_lines(path)] == text.splitlines()
        assert b"".join(read_utf8(path)).decode() == text.replace("\n", end)


def test_utf16_of_the_other_byte_order_is_read_by_its_mark(tmp_path):
    path = write(tmp_path / "t", b"\xfe\xff" + "a,b\nc,犬".encode("utf-16-be"))
    assert list(read_lines(path)) == ["a,b\n", "c,犬"]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=9)))
def test_utf16_and_utf8_of_a_text_give_the_same_lines(tmp_path_factory, lines):
    text = "image,caption\n" + "".join(f"{line}.jpg,{line}\n" for line in lines)
    path = tmp_path_factory.getbasetemp() / "any"
    for encoding in ENCODINGS:
        write(path, text.encode(encoding))
        assert "".join(read_lines(str(path))) == text


def test_a_carriage_return_within_a_line_starts_no_line(tmp_path):
    content = b"image,caption\na.jpg,A\rdog\rruns\rand\rruns\n"
    assert len(list(read_lines(write(tmp_path / "t", content)))) == 2
    content = b"image,caption\r\r\na.jpg,A dog\r\r\n"  # as text mode writes what ends in \r\n
    assert len(list(read_lines(write(tmp_path / "t", content)))) == 2


def test_line_feeds_within_cells_do_not_hide_carriage_returns_that_end_lines(tmp_path):
    content = b'image,caption\ra.jpg,"A\ndog"\rb.jpg,A cat\r'  # as Excel for Mac wrote it
    lines = ["image,caption\r", 'a.jpg,"A\n', 'dog"\r', "b.jpg,A cat\r"]
    assert list(read_lines(write(tmp_path / "t", content))) == lines


def test_nul_bytes_here_and_there_are_no_utf16(tmp_path):
    content = b"image,caption\n" + b"\0a.jpg\0\n\0\0\0" * 9
    assert "".join(read_lines(write(tmp_path / "t", content))) == content.decode()


@pytest.mark.parametrize("read", [read_lines, read_utf8])
def test_a_file_that_was_cut_off_is_an_error_that_says_where(tmp_path, read):
    lines = [f"a{i}.jpg,{hash(str(i))}\n" for i in range(20_000)]
    whole = "".join(lines).encode("utf-16")
    path = write(tmp_path / "t.csv", whole[: len(whole) // 2 - len(whole) // 2 % 2 + 1])
    with pytest.raises(InputError, match=r"after (line|byte) [1-9]\d+: the file is cut off") as e:
        list(read(path))
    assert path in str(e.value) and "UTF-16" in str(e.value)
    packed = gzip.compress(whole)
    path = write(tmp_path / "t.csv.gz", packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"after (line|byte) [1-9]\d+: the file is cut off") as e:
        list(read(path))
    assert path in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("read", [read_lines, read_utf8])
def test_a_gz_file_that_is_none_or_damaged_is_named(tmp_path, read):
    packed = bytearray(gzip.compress(b"image,caption\n" * 10))
    packed[len(packed) // 2] ^= 0xFF
    for content in (b"image,caption\n", bytes(packed)):
        path = write(tmp_path / "t.csv.gz", content)
        with pytest.raises(InputError, match="cannot be decompressed") as error:
            list(read(path))
        assert path in str(error.value)


def test_gzip_files_one_after_the_other_are_one_text(tmp_path):
    content = gzip.compress(b"a\n") + gzip.compress(b"b\n")
    assert list(read_lines(write(tmp_path / "t.gz", content))) == ["a\n", "b\n"]


def test_a_long_file_is_read_in_chunks(tmp_path):
    path = write(tmp_path / "t", b"x" * (3 * CHUNK + 1))
    assert [len(chunk) for chunk in read_utf8(path)] == [CHUNK, CHUNK, CHUNK, 1]
