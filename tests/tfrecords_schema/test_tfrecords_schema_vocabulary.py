"""The vocabulary: its order, its ids and its file."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfrecords_schema.errors import InputError
from tfrecords_schema.vocabulary import (
    END,
    PAD,
    RESERVED,
    START,
    UNK,
    Vocabulary,
    read_vocabulary,
    read_words,
)

WORDS = st.text(min_size=1, max_size=4).filter(lambda word: word.split() == [word])
COUNTS = st.dictionaries(WORDS, st.integers(1, 4), max_size=12)
HEAD = "<pad>\n<unk>\n<start>\n<end>\n"


def test_the_reserved_tokens_have_the_first_ids():
    assert (PAD, UNK, START, END) == (0, 1, 2, 3)
    assert Vocabulary(["dog"]).tokens == (*RESERVED, "dog")


def test_words_come_by_falling_count_and_ties_by_word():
    counts = {"dog": 2, "ball": 2, "a": 5, "cat": 2, "zebra": 3}
    assert Vocabulary.from_counts(counts).tokens[4:] == ("a", "zebra", "ball", "cat", "dog")


@pytest.mark.parametrize("min_count, kept", [(1, ("a", "b", "c")), (2, ("a", "b")), (4, ())])
def test_a_word_seen_less_than_min_count_is_left_out(min_count, kept):
    assert Vocabulary.from_counts({"a": 3, "b": 2, "c": 1}, min_count).tokens[4:] == kept


@settings(deadline=None)
@given(st.data())
def test_the_order_of_counting_does_not_matter(data):
    counts = data.draw(COUNTS)
    shuffled = dict(data.draw(st.permutations(list(counts.items()))))
    assert Vocabulary.from_counts(shuffled).to_text() == Vocabulary.from_counts(counts).to_text()


def test_reserved_words_in_the_text_are_not_counted_and_become_unk():
    vocabulary = Vocabulary.from_counts({"<end>": 9, "<pad>": 9, "dog": 1})
    assert vocabulary.tokens == (*RESERVED, "dog")
    assert vocabulary.ids([*RESERVED, "dog"]) == [START, UNK, UNK, UNK, UNK, 4, END]


@settings(deadline=None)
@given(COUNTS, st.lists(WORDS))
def test_known_words_come_back_from_their_ids_and_others_become_unk(counts, others):
    vocabulary = Vocabulary.from_counts(counts)
    text = [word for pair in zip(counts, others, strict=False) for word in pair]
    ids = vocabulary.ids(text)
    assert (ids[0], ids[-1], len(ids)) == (START, END, len(text) + 2)
    for word, i in zip(text, ids[1:-1], strict=True):
        known = word in counts and word not in RESERVED
        assert vocabulary.tokens[i] == (word if known else "<unk>")
    assert vocabulary.words(ids) == [w for w in text if w in counts and w not in RESERVED]


def test_words_stop_at_end_and_leave_out_reserved_tokens():
    vocabulary = Vocabulary(["dog", "runs"])
    assert vocabulary.words([START, 4, UNK, 5, PAD, END, 4, 5]) == ["dog", "runs"]
    assert vocabulary.words([4, 5]) == ["dog", "runs"]
    assert vocabulary.words([END]) == []


@settings(deadline=None)
@given(COUNTS)
def test_the_file_gives_back_the_vocabulary(tmp_path_factory, counts):
    vocabulary = Vocabulary.from_counts(counts)
    path = tmp_path_factory.getbasetemp() / "vocabulary.txt"
    path.write_bytes(vocabulary.to_text().encode())
    again = read_vocabulary(str(path))
    assert again.tokens == vocabulary.tokens
    assert again.sha256() == vocabulary.sha256()
    assert len(again) == len(counts.keys() - set(RESERVED)) + 4


def test_the_fingerprint_is_that_of_the_file():
    # printf '<pad>\n<unk>\n<start>\n<end>\ndog\n' | sha256sum
    digest = "cd6049b0e3ad6f323e466ab09d4654a69f75dadee829cf453e3d8cb005765182"
    assert Vocabulary(["dog"]).sha256() == digest
    assert Vocabulary(["dogs"]).sha256() != digest


@pytest.mark.parametrize(
    "words, named",
    [
        (["a", "dog", "a"], "'a' comes twice, 6 is the second"),
        (["dog", "<unk>"], "'<unk>' comes twice, 5 is the second"),
        (["hot dog"], "'hot dog'.*whitespace"),
        (["dog\n"], r"'dog\\n'.*whitespace"),
        (["dog\u00a0"], "whitespace"),
        ([""], "''.*empty"),
    ],
)
def test_a_bad_word_is_refused_and_named(words, named):
    with pytest.raises(InputError, match=named):
        Vocabulary(words)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<pad>\n<unk>\n",
        b"dog\ncat\n",
        HEAD.replace("<unk>", "<oov>").encode(),
        HEAD.replace("\n", "\r\n").encode(),
        f"{HEAD}dog\ncat".encode(),  # cut off
        f"{HEAD}dog\n\ncat\n".encode(),
        f"{HEAD}hot dog\n".encode(),
        f"{HEAD}dog\ndog\n".encode(),
        f"{HEAD}<pad>\n".encode(),
        f"{HEAD}caf".encode() + b"\xe9\n",
    ],
)
def test_a_damaged_file_is_refused_by_its_path(tmp_path, content):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_vocabulary(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"dog\ncat\n",
        b"dog\ncat",  # the last line without its end
        b"dog\r\ncat\r\n",
        b"dog\r\ncat",
        b"\xef\xbb\xbfdog\ncat\n",
        b"\xef\xbb\xbfdog\r\ncat\r\n",
        f"{HEAD}dog\ncat\n".encode(),
        f"{HEAD}dog\ncat\n".replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + f"{HEAD}dog\ncat\n".encode(),
    ],
)
def test_words_are_read_from_a_vocabulary_file_or_a_plain_list(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    assert read_words(str(path)).tokens[4:] == ("dog", "cat")


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, unique=True).filter(lambda words: words[0] not in RESERVED))
def test_words_keep_their_order_and_their_letters(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "words.txt"
    path.write_bytes("\n".join(words).encode())
    first = words[0].removeprefix("\ufeff")
    assume(first not in ("", *RESERVED, *words[1:]))
    assert read_words(str(path)).tokens[4:] == (first, *words[1:])


@settings(deadline=None)
@given(COUNTS.filter(lambda counts: counts.keys() - set(RESERVED)))
def test_a_vocabulary_file_is_read_as_its_words(tmp_path_factory, counts):
    vocabulary = Vocabulary.from_counts(counts)
    path = tmp_path_factory.getbasetemp() / "words.txt"
    path.write_bytes(vocabulary.to_text().encode())
    assert read_words(str(path)).tokens == vocabulary.tokens


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\r\n", b"\xef\xbb\xbf", HEAD.encode(), b"caf\xe9\n", b"\xff\xfed\x00o\x00g\x00"],
)
def test_a_file_that_is_no_list_of_words_is_refused_by_its_path(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_words(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("read", [read_words, read_vocabulary])
def test_a_missing_file_and_a_directory_are_refused_by_their_path(tmp_path, read):
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(InputError) as error:
            read(str(path))
        assert str(path) in str(error.value)
