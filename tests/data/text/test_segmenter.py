from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.data.normalization import normalize_text
from lightning_nn.data.text.segmented import segment, segment_stream
from lightning_nn.data.text.segmenter import Segmenter, split_sentences, user_word
from lightning_nn.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天下雨。比赛照常！真的吗？是的；好……走", ["今天下雨。", "比赛照常！", "真的吗？", "是的；", "好……", "走"]),
        ("他说：“你好。”她走了。", ["他说：“你好。”", "她走了。"]),
        ('他说:"你好。"她走了。', ['他说:"你好。"', "她走了。"]),
        ('走了。"你好"他说。', ["走了。", '"你好"他说。']),
        ("（完。）下一句", ["（完。）", "下一句"]),
        ("什么？！真的！！！", ["什么？！", "真的！！！"]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "It's 3.5 at www.a.com/b?c=1;d=2, e.g. today. Next.",
            ["It's 3.5 at www.a.com/b?c=1;d=2, e.g. today.", "Next."],
        ),
        ('She said "go." Then left.', ['She said "go."', "Then left."]),
        ("好的...走", ["好的...", "走"]),
        ("wow!!!ok ~~~", ["wow!!!ok ~~~"]),
        ("真的?!!走", ["真的?!!", "走"]),
        ("一\n二\r\n三\u2028四", ["一", "二", "三", "四"]),
        (" \t\n　\r\n", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert list(split_sentences(text)) == expected


@given(st.text(alphabet="天地ab1 。.！!？?；;…\"'”“)\n\t", max_size=60))
def test_sentences_hold_all_of_the_text_and_are_never_empty(text: str) -> None:
    sentences = list(split_sentences(text))
    assert all(sentence == sentence.strip() != "" for sentence in sentences), sentences
    assert "".join("".join(sentences).split()) == "".join(text.split())


def test_a_long_line_without_punctuation_is_split_in_linear_time() -> None:
    assert list(split_sentences("天" * 1_000_000)) == ["天" * 1_000_000]
    assert len(list(split_sentences("." * 100_000 + " ? " * 100_000))) == 100_001
    assert list(split_sentences("!" * 100_000 + "a")) == ["!" * 100_000 + "a"]


def test_full_width_letters_and_control_characters_are_normalised() -> None:
    assert normalize_text("ＡＢｃ１２３　é\x00\x07\u200b\ufeff\ud800。\x0b！") == "ABc123 é。\n！"
    assert normalize_text("e\u0301") == "é"


@given(st.text(max_size=40))
def test_any_text_is_segmented_by_characters(text: str) -> None:
    sentences = Segmenter("chars").sentences(text)
    assert all(len(word) == 1 and not word.isspace() for sentence in sentences for word in sentence)
    assert all(sentences)
    "".join(word for sentence in sentences for word in sentence).encode("utf-8")


@given(st.text(max_size=40))
def test_jieba_loses_no_character(text: str) -> None:
    words = [word for sentence in JIEBA.sentences(text) for word in sentence]
    assert "".join("".join(words).split()) == "".join(normalize_text(text).split())
    assert all(words)


JIEBA = Segmenter("jieba")


def test_emoji_and_long_runs_become_words_of_bounded_length() -> None:
    words = JIEBA.sentences("好吃😀👨‍👩‍👧" + "a" * 100)[0]
    assert words == ["好吃", "😀", "👨", "👩", "👧", "a" * 32, "a" * 32, "a" * 32, "a" * 4]


def test_user_words_stay_whole() -> None:
    text = "深度注意网络很好"
    assert "深度注意网络" not in JIEBA(text)
    assert "深度注意网络" in Segmenter("jieba", ["深度注意网络"])(text)
    assert "深度注意网络" in Segmenter("jieba", ["深度注意网络 100000 n"])(text)
    assert "深度注意网络" not in JIEBA(text), "one segmenter's words must not reach another"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("台南", ("台南", None)),
        ("云服务 5", ("云服务", 5)),
        ("王小明 2 nr", ("王小明", 2)),
        ("凱特琳 nz", ("凱特琳", None)),
        ("Edu Best认证 2000", ("Edu Best认证", 2000)),
        ("deep learning 5 eng", ("deep learning", 5)),
        ("deep learning", ("deep learning", None)),
    ],
)
def test_lines_of_jieba_dictionaries_are_read_as_jieba_does(line: str, expected: tuple[str, int | None]) -> None:
    assert user_word(line) == expected
    assert Segmenter("jieba", [line])("今天") == ["今天"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("jeiba", None), "did you mean 'jieba'"),
        (("chars", ["词"]), "no effect on segmenter 'chars'"),
        (("words", ["词"]), "no effect on segmenter 'words'"),
        (("jieba", ["张小明 0"]), "expected WORD, WORD FREQUENCY or"),
    ],
)
def test_wrong_settings_are_named(arguments: tuple[str, list[str] | None], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Segmenter(*arguments)  # type: ignore[arg-type]


def test_chars_never_imports_jieba_and_jieba_is_quiet() -> None:
    code = """
import sys
from lightning_nn.data.text.segmenter import Segmenter
Segmenter("chars").sentences("今天下雨。")
assert "jieba" not in sys.modules
print(Segmenter("jieba").sentences("今天下雨。"))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == "[['今天', '下雨', '。']]\n"


def test_processes_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_nn.data.text.segmented._ALONE", {"jieba": 1, "chars": 1})
    monkeypatch.setattr("lightning_nn.data.text.segmented._CHUNK", 100)
    texts = [f"第{i}句话。再说一次{'好' * (i % 7)}！" if i % 5 else " " for i in range(60)]
    segmenter = Segmenter("jieba", ["句话 100000"])
    whole = segment(texts, segmenter)
    parts = list(segment_stream(iter(texts), segmenter, processes=2))
    assert len(parts) > 2
    words = [part.vocabulary[i] for part in parts for i in part.words]
    assert words == [whole.vocabulary[i] for i in whole.words]
    for field in ("sentences", "documents"):
        assert np.concatenate([getattr(part, field) for part in parts]).tolist() == getattr(whole, field).tolist()


def test_an_error_in_the_stream_comes_through_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_nn.data.text.segmented._ALONE", {"chars": 1})
    monkeypatch.setattr("lightning_nn.data.text.segmented._CHUNK", 100)

    def texts() -> Iterator[str]:
        yield from ["好" * 90] * 20
        raise UserError("a.tsv:21: wrong")

    with pytest.raises(UserError, match=r"a\.tsv:21: wrong"):
        list(segment_stream(texts(), Segmenter("chars"), processes=2))
