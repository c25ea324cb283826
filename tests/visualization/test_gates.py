from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from lightning_nn.tasks.artifacts import GateExplanation
from lightning_nn.visualization.gates import page, shade, terminal

MATCH = GateExplanation(
    sentences=[["今天", "不错", "。"], ["赢得", "冠军", "。"]],
    kept={"forward": [0.5, 0.6, 0.2, 0.4, 0.7, 0.1], "backward": [0.3, 0.3, 0.3, 0.3, 0.3, 0.3]},
    gate="forget",
    category="体育",
    probability=0.971,
    truth="娱乐",
    unknown=frozenset({"冠军"}),
)


def render(explanation: GateExplanation, width: int = 80, **console: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, **console).print(terminal(explanation, width))  # type: ignore[arg-type]
    return stream.getvalue()


def test_shades_go_from_the_least_to_the_largest_value_of_a_document() -> None:
    forward, backward = shade(MATCH)
    assert [word.shade for word in forward.words] == pytest.approx([2 / 3, 5 / 6, 1 / 6, 0.5, 1.0, 0.0])
    assert [word.shade for word in backward.words] == [0.0] * 6, "all alike"
    assert forward.range == "keeps 10% to 70%, 42% on average"
    assert [(word.text, word.weight) for word in forward.least][:2] == [("。", 0.1), ("赢得", 0.4)], "each once"


def test_the_page_shows_each_direction_and_escapes_words() -> None:
    text = page([MATCH._replace(sentences=[["<b>", "不错", "。"], ["赢得", "冠军", "。"]])], "Gates")
    assert text.index("<b>forward</b>") < text.index("<b>backward</b>")
    assert "&lt;b&gt;" in text and "forget gate" in text and "wrong" in text
    assert '<span class="w unknown" style="--w:1.00" title="70.0%">冠军</span>' in text
    assert "No documents." in page([], "empty")


def test_a_file_gets_the_text_once_and_a_terminal_gets_shades() -> None:
    out = render(MATCH)
    assert "\x1b" not in out and out.count("今天不错。赢得冠军。") == 1
    assert "forward, forget gate: keeps 10% to 70%" in out and "not in the vocabulary: 冠军" in out
    coloured = render(MATCH, force_terminal=True, color_system="truecolor", no_color=False)
    assert "48;2;255;130;0m冠军" in coloured, repr(coloured)


def test_lines_fit_the_columns() -> None:
    words = ["人工智能", "technology", "，"] * 30
    explanation = GateExplanation([words], {"forward": [0.01 * i for i in range(90)]}, "update", "科技", 1.0)
    for width in (20, 41, 80):
        assert max(map(cell_len, render(explanation, width).splitlines())) <= width, width


def test_a_document_without_words_has_nothing_to_name() -> None:
    assert "keeps least at: none" in render(GateExplanation([], {"forward": []}, "forget", "x", 0.5))
