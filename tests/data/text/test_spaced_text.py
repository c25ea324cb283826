"""Sentences and words of text with spaces between words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.data.normalization import normalize_text
from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.segmenter import Segmenter, written_with_spaces
from lightning_nn.data.text.vocabulary import TextVocabulary

WORDS = Segmenter("words")


def sentences(text: str) -> list[str]:
    return [" ".join(words) for words in WORDS.sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't worry, it's l'homme O’Brien", "Don't worry , it's l'homme O'Brien"),
        ("It cost $1,000.50 (3.14%)!!", "It cost $ 1,000.50 ( 3.14 % ) ! !"),
        ("well-known mp3 3rd A4 snake_case", "well - known mp3 3rd A4 snake_case"),
        ("the U.S.A. at 5 p.m. e.g. J.R.R. Tolkien", "the U.S.A. at 5 p.m. e.g. J.R.R. Tolkien"),
        ("good.Next 'quoted' dogs' ...", "good . Next ' quoted ' dogs ' ..."),
        ("naïve Größe Привет हिन्दी 한국어", "naïve Größe Привет हिन्दी 한국어"),
        ("iPhone很好 😀", "iPhone 很 好 😀"),
    ],
)
def test_words_are_those_a_reader_sees(text: str, expected: str) -> None:
    assert WORDS(normalize_text(text)) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith met Dr. Jones. They left.", ["Mr. Smith met Dr. Jones.", "They left."]),
        (
            "See No. 5, e.g. Apple Inc. in Fig. 3. No. It ends.",
            ["See No. 5, e.g. Apple Inc. in Fig. 3.", "No.", "It ends."],
        ),
        (
            "He lives in the U.S. It is big. The U.S. Army left.",
            ["He lives in the U.S.", "It is big.", "The U.S. Army left."],
        ),
        (
            "J. R. Smith and George W. Bush came. So did I. They left",
            ["J. R. Smith and George W. Bush came.", "So did I.", "They left"],
        ),
        ("Well... maybe. Hmm... Yes", ["Well... maybe.", "Hmm...", "Yes"]),
        (
            "We came at 5 p.m. Tuesday. It closed at 6 p.m. We left.",
            ["We came at 5 p.m. Tuesday.", "It closed at 6 p.m.", "We left."],
        ),
        (
            "good food. bad staff, e.g. the cook. mr. smith left.",
            ["good food.", "bad staff, e.g. the cook.", "mr. smith left."],
        ),
        (
            'He said "Go." Then he left. "Why?" I asked; nobody knew.',
            ['He said "Go."', "Then he left.", '"Why?"', "I asked; nobody knew."],
        ),
        ("It's 3.5 at www.a.com/b?c=1;d=2. Next", ["It's 3.5 at www.a.com/b?c=1;d=2.", "Next"]),
        ("Jan. 5 was cold. Martin Luther King Jr. spoke", ["Jan. 5 was cold.", "Martin Luther King Jr. spoke"]),
        ("One\nTwo! Three? 好。走", ["One", "Two!", "Three?", "好。", "走"]),
    ],
)
def test_sentences_know_abbreviations(text: str, expected: list[str]) -> None:
    assert sentences(text) == [" ".join(WORDS(sentence)) for sentence in expected]


def test_lower_case_by_an_option_comes_after_the_sentences() -> None:
    assert Segmenter("words", lower=True).sentences("He left. It's US") == [["he", "left", "."], ["it's", "us"]]
    assert Segmenter("jieba", ["Edu认证"], lower=True).sentences("好Edu认证") == [["好", "edu认证"]]


@given(st.text(alphabet="aZé1 .,!?…'’\"“”)\u0301天ก\u0e31\n\t", max_size=60))
def test_no_character_is_lost(text: str) -> None:
    words = [word for sentence in WORDS.sentences(text) for word in sentence]
    assert all(words) and "".join(words) == "".join(normalize_text(text).replace("’", "'").split())


@pytest.mark.seconds
def test_long_runs_take_linear_time() -> None:
    for sign in ("a", ".", ". ", "a.", "a. ", "' ", "Mr. ", "\u0301", "1,", "a b. ", '."'):
        assert WORDS.sentences(sign * 50_000)


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("The food was good.", True),
        ("음식이 맛있어요", True),
        ("今天下雨", False),
        ("とてもおいしい", False),
        ("iPhone 手机 Android iOS", False),
        ("อร่อยมาก", False),
        ("12 34 56", False),
    ],
)
def test_scripts_with_spaces_are_known(text: str, spaced: bool) -> None:
    assert written_with_spaces([text]) is spaced


def table(tmp_path: Path, *texts: str) -> str:
    file = tmp_path / "a.csv"
    rows = [f'"{text}",{label}\n' for i, text in enumerate(texts * 10) for label in ("xy"[i % 2],)]
    file.write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return str(file)


def test_words_are_chosen_where_a_corpus_is_not_chinese_and_the_processor_keeps_the_choice(tmp_path: Path) -> None:
    data = TextData(
        table(tmp_path, "Mr. Smith didn't eat. He LEFT.", "The soup's cold."), vocabulary=TextVocabulary(min_count=1)
    )
    data.prepare_once()
    state = data.processor.state_dict()
    assert (state["segmenter"], state["lower"], state["unescape"]) == ("words", True, True)
    assert data.processor.tokens("Mr. Smith didn't. LEFT") == [["mr", ".", "smith", "didn't", "."], ["left"]]
    (note,) = (note for note in data.notes if "segmenter: words" in note)
    assert "--data.vocabulary.segmenter jieba" in note
    again = TextData(table(tmp_path, "今天下雨。", "好吃"), vocabulary=TextVocabulary("auto"))
    again.use_processor(data.processor)
    again.prepare_once()
    assert again.processor is data.processor and again.sources["train"].corpus.vocabulary_size == 8


@pytest.mark.parametrize(
    ("texts", "options", "expected"),
    [
        (("今天下雨。iPhone", "好吃"), {}, ("jieba", False)),
        (("The soup", "A cook"), {"segmenter": "chars"}, ("chars", False)),
        (("The soup", "A cook"), {"lower": False}, ("words", False)),
        (("今天A", "好吃B"), {"segmenter": "chars", "lower": True}, ("chars", True)),
    ],
)
def test_other_choices(tmp_path: Path, texts: tuple[str, ...], options: dict[str, Any], expected: object) -> None:
    data = TextData(table(tmp_path, *texts), vocabulary=TextVocabulary(min_count=1, **options))
    data.prepare_once()
    state = data.processor.state_dict()
    assert (state["segmenter"], state["lower"]) == expected
    assert not any("segmenter: words" in note for note in data.notes) or state["segmenter"] == "words"


def test_written_line_breaks_and_entities_are_read_and_counted_in_training_and_for_predictions(tmp_path: Path) -> None:
    path = table(tmp_path, "One.\\n\\nTwo<br />three &amp; four", "five six", "user CORP\\nsmith")
    data = TextData(path, vocabulary=TextVocabulary(min_count=1))
    data.prepare_once()
    notes = "\n".join(data.notes)
    assert "in 10 documents are read as what they mean (else: --data.vocabulary.unescape false) (a.csv:2, " in notes
    assert "in 10 documents are left as they are: perhaps a path or a formula (a.csv:4, " in notes
    expected = [["one", "."], ["two"], ["three", "&", "four"]]
    assert data.processor.tokens("One.\\n\\nTwo<br />three &amp; four") == expected
    assert data.sources["train"].corpus.sizes(9, 9).sentences.tolist()[:3] == [3, 1, 1]
    raw = TextData(path, vocabulary=TextVocabulary(min_count=1, unescape=False))
    raw.prepare_once()
    assert not any("read as what" in note for note in raw.notes)
    assert len(raw.processor.tokens("One.\\n\\nTwo<br />three")) == 1
