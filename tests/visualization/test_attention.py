from __future__ import annotations

import io
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.attention import page, shade, strongest, terminal

MATCH = Explanation(
    sentences=[["今天", "天气", "不错", "。"], ["北京队", "赢得", "冠军", "。"]],
    word_weights=[[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.65, 0.05]],
    sentence_weights=[0.1, 0.9],
    category="体育",
    probability=0.971,
    truth="娱乐",
)
EVIL = "</span><script>alert(1)</script>\x1b[31m[red]&\"'\u202e\x00\x9b2J\x1b]0;title\x07\ud800"


class _Reader(HTMLParser):
    """Tags, their attributes and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def evil(text: str) -> Explanation:
    return Explanation([[text, "b"]], [[0.6, 0.4]], [1.0], text, 0.5, text)


def render(explanation: Explanation, width: int = 80, **console: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, **console).print(terminal(explanation, width))  # type: ignore[arg-type]
    return stream.getvalue()


def test_words_are_shaded_by_their_own_and_their_sentences_weight() -> None:
    sentences = shade(MATCH)
    strongest_shade = 0.65 * 0.9**0.5
    assert sentences[1].words[2].shade == pytest.approx(1.0)
    assert sentences[0].words[0].shade == pytest.approx(0.25 * 0.1**0.5 / strongest_shade)
    assert [w.text for w in strongest(sentences, 2)] == ["冠军", "赢得"]


def test_the_same_strong_word_is_named_once_with_its_strongest_weight() -> None:
    twice = Explanation([["a", "b", "a"]], [[0.2, 0.3, 0.5]], [1.0], "x", 1.0)
    assert [(w.text, w.weight) for w in strongest(shade(twice))] == [("a", 0.5), ("b", 0.3)]


def test_latin_words_are_set_apart_and_chinese_ones_are_not() -> None:
    words = ["Lightning", "2.6", "发布", "了", "(", "beta", ")", ",", "see", "notes", "."]
    (sentence,) = shade(Explanation([words], [[1 / len(words)] * len(words)], [1.0], "x", 1.0))
    assert "".join(w.gap + w.text for w in sentence.words) == "Lightning 2.6发布了(beta), see notes."


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    html = page([MATCH, MATCH], "Attention")
    read = _Reader(html)
    assert read.open == []
    names = {tag for tag, _ in read.tags}
    assert not names & {"script", "link", "img", "iframe"}, names
    assert "http://" not in html and "https://" not in html and "url(" not in html
    assert "prefers-color-scheme: dark" in html
    assert sum(tag == "article" for tag, _ in read.tags) == 2
    assert "".join(MATCH.sentences[1]) in read.text
    assert "97.1%" in read.text and "wrong: it is 娱乐" in read.text and "冠军 65%" in read.text
    assert {"title": "65.0%", "class": "w", "style": "--w:1.00"} in [attributes for _, attributes in read.tags]


def test_the_page_escapes_everything() -> None:
    read = _Reader(page([evil(EVIL)], EVIL))
    assert read.open == [], "markup in a text opened a tag"
    assert not any(tag == "script" for tag, _ in read.tags)
    assert "<script>alert(1)</script>" in read.text
    assert not any(c in read.text for c in "\x00\x1b\u202e\ud800")


@given(st.text())
def test_no_text_breaks_the_page_or_the_terminal(text: str) -> None:
    read = _Reader(page([evil(text)], text))
    assert read.open == []
    html = page([evil(text)], text).encode("utf-8")
    assert sanitize(text).encode("utf-8") is not None and b"\x00" not in html
    out = render(evil(text), 40)
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in out), repr(out)
    assert all(cell_len(line) <= 40 for line in out.splitlines()), out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\x1b[1;31mb\x1b[0mc", "abc"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x9b2Jb", "ab"),
        ("line\r\nline", "line line"),
        ("a\u202eb\u200bc", "abc"),
        ("冠军😀", "冠军😀"),
    ],
)
def test_clean_leaves_what_can_only_be_read(text: str, expected: str) -> None:
    assert sanitize(text) == expected


def test_without_documents_or_words_there_is_still_a_page() -> None:
    assert "No documents." in page([], "empty")
    empty = Explanation([], [[1.0]], [1.0], "x", 0.5)
    assert "Strongest words: <span>none</span>" in page([empty], "empty")
    assert "strongest words: none" in render(empty)


def test_a_file_gets_plain_text_with_the_words_by_weight() -> None:
    out = render(MATCH)
    assert "\x1b" not in out
    assert "体育  97.1%  wrong: it is 娱乐" in out
    assert re.search("90% ███████ +北京队赢得冠军。", out), out
    assert "= 冠军 65%, 赢得 20%" in out


def test_a_terminal_gets_shades() -> None:
    out = render(MATCH, force_terminal=True, color_system="truecolor", no_color=False)
    assert "48;2;255;130;0m冠军" in out, repr(out)
    assert "= 冠军" not in out


def test_wide_characters_wrap_within_the_columns() -> None:
    words = ["人工智能", "技术", "，", "training", "产业"] * 40
    long = Explanation([words], [[1 / len(words)] * len(words)], [1.0], "科技", 1.0)
    for width in (20, 41, 80):
        lines = render(long, width).splitlines()
        assert max(map(cell_len, lines)) <= width, width
        assert len(lines) >= len("".join(words)) * 2 // width


def test_square_brackets_are_text_and_not_markup() -> None:
    assert "[bold]x[/bold][/]" in render(evil("[bold]x[/bold][/]"))
