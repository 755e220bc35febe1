# ruff: noqa: RUF001  signs that look alike are those of the scripts
"""Tokens are the published ones in English, and those of the pipeline in other scripts."""

import os
import shutil
from pathlib import Path

import pytest
from pycocoevalcap.tokenizer import ptbtokenizer

from pipeline.text.tokenize import tokenize
from tfrecords_schema.characters import join_characters
from trainer.scores.metrics import score_captions, tokenize_references
from trainer.scores.tokenize_captions import java_available

needs_java = pytest.mark.skipif(
    not java_available(), reason="needs Java: the PTB tokenizer is a Java program"
)
TOKENIZERS = [pytest.param("ptb", marks=needs_java), "treebank"]
REFERENCES = {
    "street": ["Two men wait for a bus.", "Two people stand at a bus stop, waiting."],
    "snow": ["A girl (in red) skis down a hill.", "A skier doesn't stop on the slope."],
    "grass": ['A boy kicks a ball on the "grass"', "Children play football in a park!"],
}


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX: makes a shell script")
def test_a_java_that_does_not_run_is_no_java(monkeypatch, tmp_path):
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not java_available()


@needs_java
def test_ptb_tokens_are_those_of_the_library(monkeypatch, tmp_path):
    # The library's wrapper writes beside its jar, so show it a folder of our own.
    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    shutil.copy(jar, tmp_path)
    monkeypatch.setattr(ptbtokenizer, "__file__", str(tmp_path / "ptbtokenizer.py"))
    references = REFERENCES | {
        "odd": ["Mr. X's U.S. car -- 1/2 [new]; café (555) 555-1234", "a|||b"]
    }

    expected = ptbtokenizer.PTBTokenizer().tokenize(
        {i: [{"caption": text} for text in texts] for i, texts in references.items()}
    )

    assert tokenize_references(references, "ptb").captions == expected


@needs_java
def test_a_tokenizer_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(ptbtokenizer, "STANFORD_CORENLP_3_4_1_JAR", "absent.jar")

    with pytest.raises(RuntimeError, match=r"PTB tokenizer gave .* exit status 1: .*PTBTokenizer"):
        tokenize_references(REFERENCES, "ptb")


# Text as people write it: the signs of each script, quotes, parentheses, `&`, `%` and numbers.
SCRIPTS = {
    "hindi": ["एक कुत्ता (बूढ़ा) समुद्र तट पर है।", "“नमस्ते” & 50% लोग, २ बच्चे कहते हैं॥ ‘हाँ’!"],
    "arabic": ["كلب (عجوز) يجري على الشاطئ؟", 'رجل & امرأة، 50٪ أو ٥٠% «مرحبا»؛ "نعم" هنا۔'],
    "persian": ["سگ‌ها می‌دوند؛ (پیر)", "«کتاب» را می‌خواند، ۵۰٪ & بیشتر."],
    "chinese": [
        "一只黑狗（老）在跑。",
        "“你好”，50% 的人 & 狗、猫！……",
        "男-女：1,000 人 (老)",
    ],
    "japanese": ["黒い犬が「ワン」と鳴く。", "男性・女性（老人）、５０％のｶﾞﾗｽ & 本〜"],
    "thai": ["สุนัข (แก่) กำลังวิ่ง ๆ", "“สวัสดี” คน 50% & แมว ฯลฯ!"],
    "khmer": ["ឆ្កែ (ចាស់) កំពុងរត់។", "«សួស្តី» មនុស្ស 50% & ឆ្មា៖"],
    "russian": ["Собака (старая) бежит — «быстро»; он/она.", "50% людей & №1, из-за “дождя”…"],
    "greek": ["Ένας σκύλος (γέρος) τρέχει· γιατί;", "«Γεια» & 50% των ανθρώπων"],
    "hebrew": ["כלב (זקן) רץ״ על החוף?", "”שלום“ & 50% אנשים, צה״ל"],
    "korean": ["강아지(늙은)가 뛰어요.", "“안녕” & 50% 사람들 · 고양이!"],
    "armenian": ["Շունը (ծեր) վազում է։", "«Բարև» & 50% մարդիկ՝ այստեղ"],
}


@pytest.mark.parametrize("clean", ["coco", "characters", "none"])
def test_who_says_the_training_captions_has_the_top_score_in_every_script(clean):
    for script, texts in SCRIPTS.items():
        images = {str(i): [text, "x"] for i, text in enumerate(texts)}
        references = tokenize_references(images, characters=clean == "characters")
        join = join_characters if clean == "characters" else str
        said = {image: join(" ".join(tokenize(text, clean))) for image, (text, _) in images.items()}
        scores = score_captions(references, said)
        for name in ("BLEU-1", "BLEU-2", "ROUGE-L"):
            assert scores[name] == pytest.approx(100, abs=1e-3), (script, name, references, said)
        as_people_wrote = {image: text for image, (text, _) in images.items()}
        assert scores == score_captions(references, as_people_wrote), (script, references, said)
        assert "METEOR" not in scores


@needs_java
def test_english_keeps_the_published_tokens_signs_and_all():
    texts = ["A man & a dog (old) run.", "50% of £5 – “free” café · 1/2!", "Jürgen’s dog… naïve"]
    wrapper = ptbtokenizer.PTBTokenizer()
    expected = wrapper.tokenize({"x": [{"caption": text} for text in texts]})
    assert tokenize_references({"x": texts}, "ptb").captions == expected
    assert expected["x"][0] == "a man & a dog -lrb- old -rrb- run"


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_signs_of_other_latin_languages_are_punctuation(tokenizer):
    references = tokenize_references({"x": ["¿Qué hace?", "¡Corre!", "Der „alte“ Hund"]}, tokenizer)
    assert references.captions["x"][:2] == ["qué hace", "corre"]
    assert set(references.captions["x"][2].split()) >= {"der", "alte", "hund"}
