"""Scores are the published ones, and nothing that would falsify them gets through."""

import gc
import math
import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocoevalcap.meteor import meteor as meteor_library

from trainer.scores import metrics
from trainer.scores.metrics import (
    SPECIAL_TOKENS,
    cider_can_tell,
    java_available,
    score_captions,
    score_cider,
    tokenize_references,
)

needs_java = pytest.mark.skipif(
    not java_available(), reason="needs Java: the PTB tokenizer and METEOR are Java programs"
)
TOKENIZERS = [pytest.param("ptb", marks=needs_java), "treebank"]

REFERENCES = {
    "beach": ["A dog runs along the beach.", "The brown dog is running on the sand."],
    "street": ["Two men wait for a bus.", "Two people stand at a bus stop, waiting."],
    "snow": ["A girl (in red) skis down a hill.", "A skier doesn't stop on the slope."],
    "grass": ['A boy kicks a ball on the "grass"', "Children play football in a park!"],
}
CANDIDATES = {
    "beach": "a dog runs on the beach",
    "street": "two men stand at a bus stop",
    "snow": "a girl doesn't ski down a hill",
    "grass": "a boy plays with a ball",
}


def score(references, candidates, tokenizer="treebank", meteor=False):
    return score_captions(tokenize_references(references, tokenizer), candidates, meteor)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_candidate_equal_to_a_reference_is_perfect(tokenizer):
    scores = score(REFERENCES, {i: texts[0] for i, texts in REFERENCES.items()}, tokenizer)

    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"):
        assert scores[name] == pytest.approx(100, abs=1e-4), name


def test_cider_of_the_only_reference_is_1000():
    references = {i: texts[:1] for i, texts in REFERENCES.items()}
    candidates = {i: texts[0] for i, texts in references.items()}

    assert score(references, candidates)["CIDEr"] == pytest.approx(1000)


def test_bleu_clips_repeated_words():
    # Words: the 2 of 3, cat 1 of 2, on, mat: 5 of 7. Pairs: the cat (1 of 2), cat on, on the,
    # the mat, but not cat the: 4 of 6. Seven words, as in the second reference: no penalty.
    references = {"x": ["The cat is on the mat.", "There is a cat on the mat."]}

    scores = score(references, {"x": "the cat the cat on the mat"})

    assert scores["BLEU-1"] == pytest.approx(100 * 5 / 7)
    assert scores["BLEU-2"] == pytest.approx(100 * math.sqrt(5 / 7 * 4 / 6))


def test_bleu_penalizes_short_candidates():
    scores = score({"x": ["the cat is on"]}, {"x": "the cat"})

    assert scores["BLEU-1"] == pytest.approx(100 * math.exp(1 - 4 / 2))
    assert scores["BLEU-2"] == pytest.approx(100 * math.exp(1 - 4 / 2))


def test_rouge_l_of_a_known_pair():
    # "a c" is common: precision 2/3, recall 2/4; the library weighs recall by beta = 1.2.
    precision, recall, beta2 = 2 / 3, 2 / 4, 1.2**2

    scores = score({"x": ["a c d e"]}, {"x": "a b c"})

    f_score = (1 + beta2) * precision * recall / (recall + beta2 * precision)
    assert scores["ROUGE-L"] == pytest.approx(100 * f_score)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_order_of_images_does_not_matter(tokenizer):
    expected = score(REFERENCES, CANDIDATES, tokenizer)

    backwards = dict(reversed(REFERENCES.items()))

    assert score(backwards, CANDIDATES, tokenizer) == expected
    assert score(REFERENCES, dict(reversed(CANDIDATES.items())), tokenizer) == expected


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_validation_gives_the_cider_of_the_full_scores(tokenizer):
    references = tokenize_references(REFERENCES, tokenizer)

    cider = score_cider(references, CANDIDATES)

    assert cider == score_captions(references, CANDIDATES, meteor=False)["CIDEr"]
    assert 0 < cider < 1000


@pytest.mark.parametrize("token", ["<pad>", "<unk>", "<start>", "<end>", "startseq", "endseq"])
@pytest.mark.parametrize("text", ["a dog {}", "{}", "a {}, dog", "a dog{}"])
def test_special_tokens_never_reach_a_scorer(token, text):
    references = tokenize_references(REFERENCES, "treebank")
    caption = text.format(token)

    for scorer in (score_captions, score_cider):
        for written in (caption, caption.upper()):
            with pytest.raises(ValueError, match=f"image 'snow' holds '{token}'"):
                scorer(references, CANDIDATES | {"snow": written})


def test_images_without_candidate_and_candidates_without_image_are_refused():
    references = tokenize_references(REFERENCES, "treebank")
    candidates = {"beach": "a", "street": "b", "moon": "c"}

    for scorer in (score_captions, score_cider):
        with pytest.raises(ValueError, match=r"2 missing \['grass'\], 1 extra \['moon'\]"):
            scorer(references, candidates)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({}, "no images"),
        ({"x": ["a dog"], "y": []}, "'y' has no reference caption"),
        ({"x": [".", ""]}, "no reference caption of the 1 images holds a word"),
    ],
)
def test_references_that_score_nothing_are_refused(tokenizer, references, message):
    with pytest.raises(ValueError, match=message):
        tokenize_references(references, tokenizer)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_line_breaks_do_not_shift_captions_to_other_images(tokenizer):
    breaks = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    plain = {f"{i:02}": ["a dog", f"image {i}"] for i in range(len(breaks))}
    broken = {f"{i:02}": [f"a{c}dog{c}", f"{c}image{c}{c}{i}"] for i, c in enumerate(breaks)}

    assert tokenize_references(broken, tokenizer).captions == plain


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_odd_captions_keep_to_their_images(tokenizer):
    odd = ["<b", "c>", "<!-- x", "--> y", "*NL*", "etc.", "A", "Jr.", "\x00", "\ud800", "(5) 5-5"]
    references = {f"{i:02}": [f"w{i} {text}", text, ""] for i, text in enumerate(odd)}

    tokenized = tokenize_references(references, tokenizer).captions

    assert [texts[0].split()[0] for texts in tokenized.values()] == [f"w{i}" for i in range(11)]
    assert all(len(texts) == 3 and texts[2] == "" for texts in tokenized.values())


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("empty", ["", " ", "\n", "..."])
def test_an_empty_candidate_scores_nothing_and_harms_no_other(tokenizer, empty):
    perfect = {i: texts[0] for i, texts in REFERENCES.items()}

    scores = score(REFERENCES, perfect | {"snow": empty}, tokenizer)

    assert scores["ROUGE-L"] == pytest.approx(75)
    assert scores["CIDEr"] < score(REFERENCES, perfect, tokenizer)["CIDEr"]
    assert set(score(REFERENCES, dict.fromkeys(REFERENCES, empty), tokenizer).values()) == {0}


def test_scores_without_java_use_treebank_and_have_no_meteor(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    references = tokenize_references(REFERENCES)
    scores = score_captions(references, CANDIDATES, meteor=True)

    assert not java_available()
    assert references.tokenizer == "treebank"
    assert list(scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]


@needs_java
def test_treebank_agrees_with_ptb_on_plain_captions_and_nearly_on_others():
    ptb, treebank = (tokenize_references(REFERENCES, name) for name in ("ptb", "treebank"))

    assert treebank.captions == ptb.captions

    # Treebank takes only the last full stop for one.
    references = REFERENCES | {"hill": ["A hill. Two goats climb it.", "Two goats on a hill."]}
    candidates = CANDIDATES | {"hill": "two goats climb a hill"}

    ptb_cider, treebank_cider = (
        score(references, candidates, name)["CIDEr"] for name in ("ptb", "treebank")
    )

    assert treebank_cider != ptb_cider
    assert treebank_cider == pytest.approx(ptb_cider, rel=0.05)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_letters_with_accents_are_equal_however_they_are_encoded(tokenizer):
    references = {"x": ["un cafe\u0301 noir"], "y": ["\u1100\u1161\u11bc"]}
    scores = score(references, {"x": "un caf\xe9 noir", "y": "\uac15"}, tokenizer)
    assert scores["BLEU-1"] == pytest.approx(100, abs=1e-4)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_characters_of_scripts_without_spaces_are_scored_as_words(tokenizer):
    references = {
        "zh": ["一只黑狗在跑。", "「一只dog」。跑…字"],
        "th": ["กินน้ำที่นี่", "a 2nd dog's กิน"],
        "km": ["ខ្ញុំស្រី", "𠮷野\U00020000"],
    }
    tokenized = tokenize_references(references, tokenizer, characters=True)
    assert list(tokenized.captions.values()) == [
        ["ខ្ញុំ ស្រី", "𠮷 野 \U00020000"],
        ["กิ น น้ำ ที่ นี่", "a 2nd dog 's กิ น"],
        ["一 只 黑 狗 在 跑", "一 只 dog 跑 字"],
    ]
    # A caption as it is shown: characters together, words apart, no punctuation.
    candidates = {"zh": "一只 dog 跑字", "th": "กินน้ำที่นี่", "km": "ខ្ញុំស្រី"}
    scores = score_captions(tokenized, candidates, meteor=False)
    assert scores["BLEU-1"] == pytest.approx(100, abs=1e-4)
    assert scores["ROUGE-L"] == pytest.approx(100)
    # Four of its six characters are right, and all seven of the other images.
    changed = candidates | {"th": "กินน้ำที่นา"}
    scores = score_captions(tokenized, changed, meteor=False)
    assert scores["BLEU-1"] == pytest.approx(100 * 11 / 13) and score_cider(tokenized, changed) > 0


@needs_java
def test_meteor_is_left_out_where_most_letters_are_not_latin():
    for text in ("एक dog दौड़ रहा है", "כלב רץ a", "собака", "一只黑狗在跑"):
        scores = score({"x": [text], "y": ["a"]}, {"x": text, "y": "a"}, "ptb", meteor=True)
        assert "METEOR" not in scores and scores["BLEU-1"] == pytest.approx(100, abs=1e-4)


@pytest.mark.parametrize("changed", [None, "a dog", "two cats"])
@pytest.mark.parametrize("images", [1, 2, 3])
def test_cider_can_tell_where_any_caption_can_have_more_than_0(images, changed):
    references = {f"{i}": ["A dog runs.", "A dog."] for i in range(images)}
    if changed:
        references["0"] = ["A dog runs.", changed, "A dog."]
    tokenized = tokenize_references(references, "treebank")
    best = max(
        score_cider(tokenized, {image: captions[k % len(captions)] for image, captions in
                                references.items()})
        for k in range(3)
    )  # fmt: skip
    assert cider_can_tell(tokenized) == (best > 0)


@pytest.fixture
def meteors(monkeypatch):
    """The METEOR scorers that are started while the test runs."""
    started = []

    class Recorded(metrics.Meteor):
        def __init__(self):
            super().__init__()
            started.append(self)

    monkeypatch.setattr(metrics, "Meteor", Recorded)
    return started


@pytest.mark.slow
@needs_java
def test_meteor_works_twice_and_leaves_nothing_behind(meteors, monkeypatch, capfd, recwarn):
    # A German METEOR writes decimal commas.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    german = dict(os.environ)

    scores = score(REFERENCES, CANDIDATES | {"snow": ""}, "ptb", meteor=True)

    assert list(scores)[4:] == ["METEOR", "ROUGE-L", "CIDEr"]
    assert 10 < scores["METEOR"] < 60
    assert dict(os.environ) == german

    monkeypatch.delenv("JAVA_TOOL_OPTIONS")
    # The Treebank tokenizer leaves |||, which separates METEOR's fields, in one piece.
    references = {"x": ["a dog ||| runs"], "y": ["two men wait"]}
    candidates = {"x": "a dog ||| runs", "y": "two men wait"}

    assert score(references, candidates, meteor=True)["METEOR"] == pytest.approx(100)
    assert "JAVA_TOOL_OPTIONS" not in os.environ

    assert len(meteors) == 2
    for process in [scorer.meteor_p for scorer in meteors]:
        assert process.returncode is not None
        assert process.stdin.closed and process.stdout.closed and process.stderr.closed
    meteors.clear()
    gc.collect()
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]
    assert capfd.readouterr() == ("", "")


@needs_java
def test_a_meteor_that_dies_says_why_and_does_not_hang(meteors, monkeypatch):
    monkeypatch.setattr(meteor_library, "METEOR_JAR", "absent.jar")

    with pytest.raises(RuntimeError, match=r"METEOR stopped: (?s:.*)absent\.jar"):
        score_captions(tokenize_references(REFERENCES, "treebank"), CANDIDATES)

    assert meteors[0].meteor_p.returncode is not None
    assert not meteors[0].lock.locked()


captions = st.text(st.characters(codec="utf-8"), max_size=12) | st.lists(
    st.sampled_from(["a", "dog", "runs", "|||", ".", "(", "''"]), max_size=6
).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=3)), min_size=1))
def test_scores_are_numbers_in_range(pairs):
    assume(any(c.isalpha() for _, texts in pairs for text in texts for c in text))
    assume(not any(token in text.lower() for text, _ in pairs for token in SPECIAL_TOKENS))
    references = {str(i): texts for i, (_, texts) in enumerate(pairs)}
    candidates = {str(i): text for i, (text, _) in enumerate(pairs)}

    scores = score(references, candidates)

    for name, value in scores.items():
        assert 0 <= value <= (1000 if name == "CIDEr" else 100) + 1e-6, name
