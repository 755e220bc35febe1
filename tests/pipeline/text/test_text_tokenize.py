# ruff: noqa: RUF001  signs that look alike are what many of these tests are about
"""Caption text to words, by each of the presets."""

import re
import string
import unicodedata

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from pipeline.config import CLEAN
from pipeline.text import tokenize as captions
from pipeline.text.tokenize import dropped_words, has_words, marker_inside, tokenize, unwrap
from tfrecords_schema.vocabulary import Vocabulary
from trainer.scores.metrics import java_available, tokenize_references

PRESETS = st.sampled_from(CLEAN)
# Plain text has too few of the characters that the presets treat in a way of their own.
PIECES = [
    "A", "man's", "dog,", "can't", "...", "no.", "1,000", "(", "U.S.", '"red"', "2nd", ".", "red",
    "Cannot", "d'ye", "gimme", "gonna", "gotta", "lemme", "more'n", "wanna", "'Tis", "'twas",
]  # fmt: skip
ASCII_TEXTS = st.one_of(
    st.text(st.characters(codec="ascii")),
    st.text("aB1 .,:!?'\"`-_&()[]$%\t\n\x1c"),
    st.lists(st.sampled_from(PIECES)).map(" ".join),
)
# Signs, marks and letters that are read in a way of their own.
MORE_PIECES = [
    "man\u2019s", "\u201cred\u201d", "\u2014", "\u2026", "cafe\u0301", "l·l", "¿Qué?", "g\u0131mme",
    "Σ", "हिन्दी", "में", "कुत्ता।", "مَرحَبًا،", "กินน้ำ",
    "ខ្ញុំ", "မြန်မာ", "一只狗。", "(狗,3", "ガール", "강아지",
    "🐶", "dog🐶", "❤️", "€5", "\xbd",
    "İ", "k\u0307", "\u0301", "\u02bc", "\u200b", "\ufeff", "\ud800", "\ue000",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.text("aB1éΣ犬กิ .,!?'\"`-_&()[]$%\t\n\xa0\x1c"),
    st.lists(st.sampled_from(PIECES + MORE_PIECES)).map(" ".join),
    st.lists(st.sampled_from(PIECES + MORE_PIECES)).map("".join),
)


def tutorial_words(text):
    """What the tutorials do, step by step as they write it."""
    words = text.split()
    words = [word.lower() for word in words]
    words = ["".join(c for c in word if c not in string.punctuation) for word in words]
    words = [word for word in words if len(word) > 1]
    return [word for word in words if word.isalpha()]


def treebank_words(text):
    """Every token of the tokenizer that is more than punctuation."""
    tokens = NLTKWordTokenizer().tokenize(text.lower())
    return [token for token in tokens if any(c.isalnum() for c in token)]


@pytest.mark.parametrize("clean", CLEAN)
def test_the_example_of_the_documentation_is_true(clean):
    [text] = re.findall(r'^For "(.*)" they give$', captions.__doc__, re.MULTILINE)
    [words] = re.findall(rf"^    {clean} +(.*)$", captions.__doc__, re.MULTILINE)
    assert tokenize(text, clean) == words.split()


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", "a man 's dog running"),
        ("Two dogs run.", "two dogs run"),
        ("A black-and-white dog doesn't bark", "a black-and-white dog does n't bark"),
        ('A "stop" sign (red) -- & more!', "a stop sign red more"),
        ("The U.S. flag; 3 people, 1,000 birds", "the u.s. flag 3 people 1,000 birds"),
        ("Café ÉTÉ 犬", "café été 犬"),
        ("tab\tand\nline", "tab and line"),
    ],
)
def test_coco_words_are_lower_case_treebank_tokens_without_punctuation(text, words):
    assert tokenize(text, "coco") == words.split()


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", "mans dog running"),
        ("A black-and-white dog doesn't bark", "blackandwhite dog doesnt bark"),
        ("3 people, 2nd street; I see U.S. flags", "people street see us flags"),
        ("Café ÉTÉ x 犬", "café été"),
    ],
)
def test_tutorial_words_are_letters_alone_and_more_than_one(text, words):
    assert tokenize(text, "tutorial") == words.split()


@pytest.mark.parametrize(
    "text, words",
    [
        ("A man's dog, running .", ["A", "man's", "dog,", "running", "."]),
        (" tab\tand\nline\xa0", ["tab", "and", "line"]),
        ("...", ["..."]),
    ],
)
def test_the_preset_none_splits_at_whitespace_and_keeps_everything(text, words):
    assert tokenize(text, "none") == words


@pytest.mark.parametrize("clean", ["coco", "tutorial", "characters"])
@pytest.mark.parametrize("text", ["", "   ", ".", " . , ! ? ", "-- ``''", "…", "。", "「！」", "—"])
def test_text_without_letters_or_digits_has_no_words(text, clean):
    assert tokenize(text, clean) == []


@settings(max_examples=300)
@given(ASCII_TEXTS)
@example("a\x1cb")
def test_the_preset_tutorial_does_what_the_tutorials_do(text):
    assert tokenize(text, "tutorial") == tutorial_words(text)


@settings(max_examples=1000)
@given(ASCII_TEXTS, st.sampled_from(["coco", "characters"]))
def test_coco_words_are_those_of_the_tokenizer(text, clean):
    assert tokenize(text, clean) == treebank_words(text)


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*PIECES, "犬", "ét\xe9", "g\u0131mme", "Ωm"])).map(" ".join))
def test_letters_of_other_scripts_change_no_rule_of_the_tokenizer(text):
    assert tokenize(text, "coco") == treebank_words(text)


def test_a_small_sigma_depends_on_what_stands_around_it():
    assert tokenize("AΣ Ö AΣ, ΣΑ.", "tutorial") == ["aς", "aς", "σα"]


@settings(max_examples=300)
@given(TEXTS, PRESETS)
def test_text_has_words_where_tokenize_finds_some(text, clean):
    assert has_words(text, clean) == bool(tokenize(text, clean))


@given(TEXTS, PRESETS)
@example("a\x1cb", "none")
def test_the_words_of_any_text_can_stand_in_a_vocabulary(text, clean):
    words = tokenize(text, clean)
    vocabulary = Vocabulary.from_counts(dict.fromkeys(words, 1))
    assert vocabulary.words(vocabulary.ids(words)) == words


@given(TEXTS, PRESETS)
@example("a\x1cb", "tutorial")
def test_collapsing_whitespace_changes_no_word(text, clean):
    assert tokenize(" ".join(text.split()), clean) == tokenize(text, clean)


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(["coco", "characters"]))
def test_every_coco_word_has_a_letter_or_digit_and_none_is_lost(text, clean):
    words = tokenize(text, clean)
    assert all(any(c.isalnum() for c in word) for word in words)
    kept = [c for word in words for c in word if c.isalnum()]
    text = unicodedata.normalize("NFC", text.replace("\u02bc", "'").lower())
    assert kept == [c for c in text if c.isalnum()]


@given(TEXTS)
def test_without_cleaning_every_character_is_kept(text):
    text = unicodedata.normalize("NFC", text)
    assert "".join(tokenize(text, "none")) == "".join(text.split())


@settings(max_examples=300)
@given(TEXTS, PRESETS)
@example("\u1ffd\u212b\u037e", "coco")
@example("A:\u0300", "tutorial")  # what is left without the colon is one letter
def test_equal_text_gives_equal_words_however_it_is_encoded(text, clean):
    words = tokenize(unicodedata.normalize("NFD", text), clean)
    assert tokenize(unicodedata.normalize("NFC", text), clean) == words
    assert all(unicodedata.is_normalized("NFC", word) for word in words)


@pytest.mark.parametrize(
    "text, tutorial, coco",
    [
        ("A man\u2019s dog", "mans dog", "a man 's dog"),
        ("The dog doesn\u2019t bark", "the dog doesnt bark", "the dog does n't bark"),
        ("man\u00b4s man\uff07s", "mans mans", "man 's man 's"),
        ("\u201cstop\u201d \u2018go\u2019 \xabici\xbb", "stop go ici", "stop go ici"),
        ("\u201estop\u201c \u203ago\u2039", "stop go", "stop go"),
        ("dogs run\u2014fast \u2013 away\u2026", "dogs runfast away", "dogs run fast away"),
        ("a black\u2010and\u2011white dog", "blackandwhite dog", "a black-and-white dog"),
        ("ages 3\u20135", "ages", "ages 3 5"),
        ("¿Qué? ¡Hola!", "qué hola", "qué hola"),
        ("एक कुत्ता दौड़ रहा है। में", "एक कुत्ता दौड़ रहा है में", "एक कुत्ता दौड़ रहा है में"),
        ("مَرحَبًا بِكَ، كَلب؟", "مَرحَبًا بِكَ كَلب", "مَرحَبًا بِكَ كَلب"),
        ("cafe\u0301 x\u0302y", "café x\u0302y", "café x\u0302y"),
        ("می\u200cرود", "می\u200cرود", "می\u200cرود"),
        ("so\u00adlid \ufeffdog\u200e", "solid dog", "solid dog"),
        ("dog\u200bcat", "dog cat", "dog cat"),
        ("col·lecció ·punt·", "collecció punt", "col·lecció punt"),
        ("dog🐶 🐶cat a🐶b", "", "dog cat a b"),
        ("20°C €5 5€ ½", "", "20 c 5 5 ½"),
        ("在《书》上，有！", "在书上有", "在 书 上 有"),
        ("一只狗。两只猫", "一只狗 两只猫", "一只狗 两只猫"),
        ("བོད་ཡིག", "བོད ཡིག", "བོད ཡིག"),
    ],
)
def test_signs_and_marks_of_unicode_are_read_as_the_ascii_ones(text, tutorial, coco):
    assert tokenize(text, "tutorial") == tutorial.split()
    assert tokenize(text, "coco") == coco.split()


@pytest.mark.skipif(not java_available(), reason="needs Java: the PTB tokenizer is a Java program")
def test_typographic_signs_become_what_the_ptb_tokenizer_makes_of_them():
    quotes = "\u2018\u2019\u201c\u201d\xab\xbb\u2039\u203a\x92\x93\x94"
    others = "\u2012\u2013\u2014\u2015\u2026\x96\xad\u200b"
    texts = [f"a dog{c} runs" for c in quotes + others] + [f"a {c}wolf{c} runs" for c in quotes]
    texts += [f"a dog {c} runs" for c in quotes + others] + [f"a dog{c}cat" for c in others]
    texts += ["a man\u2019s dog", "it doesn\u2019t", "1\u20132"]
    ptb = tokenize_references({"x": texts}, "ptb").captions["x"]
    assert [" ".join(tokenize(text, "coco")) for text in texts] == [text.strip() for text in ptb]


@pytest.mark.parametrize(
    "text, words",
    [
        ("一只狗在跑。", "一 只 狗 在 跑"),
        ("一只Black dog在跑，“真”快！", "一 只 black dog 在 跑 真 快"),
        ("3只狗,3只猫，1,000只", "3 只 狗 3 只 猫 1,000 只"),
        ("狗's don't", "狗 's do n't"),
        ("ガールがコーヒー・パン", "ガ ー ル が コ ー ヒ ー パ ン"),
        ("か\u3099", "が"),
        ("\uff76\uff9e\uff80", "\uff76\uff9e \uff80"),
        ("葛\U000e0100城 𠮷野", "葛\U000e0100 城 𠮷 野"),
        ("กินน้ำที่บ้าน ๑๒ ตัว", "กิ น น้ำ ที่ บ้ า น ๑๒ ตั ว"),
        ("ຂ້ອຍກິນນ້ຳ", "ຂ້ ອ ຍ ກິ ນ ນ້ຳ"),
        ("ខ្ញុំ\u200bស្រីស្អាត។", "ខ្ញុំ ស្រី ស្អា ត"),
        ("မြန်မာ စက္ကူ", "မြ န် မာ စ က္ကူ"),
        ("강아지가 뛴다.", "강아지가 뛴다"),
        ("हिन्दी में", "हिन्दी में"),
        ("狗🐶猫", "狗 猫"),
    ],
)
def test_characters_of_scripts_without_spaces_are_words(text, words):
    assert tokenize(text, "characters") == words.split()


@given(st.lists(st.text("一狗がガーカーกนเิ้ำຂນ້ິຳ", min_size=1), max_size=4))
def test_a_character_is_what_unicode_calls_a_grapheme_cluster(texts):
    texts = ["一" + unicodedata.normalize("NFC", text) for text in texts]
    clusters = [each for text in texts for each in regex.findall(r"\X", text)]
    assert tokenize(" ".join(texts), "characters") == clusters


@pytest.mark.parametrize(
    "text, none, tutorial, coco",
    [
        ("A dog runs .", 0, 1, 0),
        ("A 2nd dog, 3 x -- & U.S. flags!", 0, 4, 0),
        ("में \u2014 cafe\u0301 “a”", 0, 1, 0),
        ("dog 🐶🐶 ❤️ 👩\u200d🚒 runs", 0, 3, 3),
        ("dog🐶", 0, 1, 1),
        ("", 0, 0, 0),
        ("。。 …", 0, 0, 0),
    ],
)
def test_words_that_a_preset_leaves_out_are_counted(text, none, tutorial, coco):
    counts = {clean: dropped_words(text, clean) for clean in CLEAN}
    assert counts == {"none": none, "tutorial": tutorial, "coco": coco, "characters": coco}


@given(ASCII_TEXTS)
def test_each_word_of_the_tutorials_is_kept_or_counted(text):
    words = [word for word in text.split() if not set(word) <= set(string.punctuation)]
    assert len(tokenize(text, "tutorial")) + dropped_words(text, "tutorial") == len(words)


WRAPS = [
    ("startseq ", " endseq"), ("<start> ", " <end>"), ("<START>", "<END>"), ("<s> ", " </s>"),
    ("<bos> ", " <eos>"), ("[CLS] ", " [SEP]"), ("<sos> ", " <eos> <pad> <pad>"),
    ("\tstartseq\n", " endseq  "),
]  # fmt: skip


@given(
    st.lists(st.sampled_from(WRAPS), min_size=1, max_size=3), st.text("aé. <>[]İ").map(str.strip)
)
def test_markers_wrapped_around_a_caption_are_taken_off(wraps, text):
    wrapped = text
    for start, end in wraps:
        wrapped = start + wrapped + end
    assert unwrap(wrapped) == text
    assert unwrap(wraps[0][0] + text) == unwrap(text + wraps[0][1]) == text
    assert unwrap(text) is None and marker_inside(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "start", "a dog at the start", "Start of a race to the end", "startseqs run",
        "a dog in myendseq", "<b>start</b>", "(start) of the race", "dogs endseq run",
    ],
)  # fmt: skip
def test_a_caption_that_is_not_wrapped_is_left_alone(text):
    assert unwrap(text) is None


def test_a_marker_that_is_left_inside_is_found():
    bare = unwrap("startseq a dog endseq startseq a cat endseq")
    assert bare == "a dog endseq startseq a cat"
    assert marker_inside(bare) == "endseq"
    assert marker_inside("a dog <End> a cat") == "<End>"
    assert marker_inside("the start and the end") is None
