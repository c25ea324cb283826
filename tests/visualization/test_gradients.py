from __future__ import annotations

import io

import pytest
from rich.console import Console

from lightning_nn.tasks.artifacts import GradientExplanation
from lightning_nn.visualization.gradients import page, shade, terminal

MATCH = GradientExplanation(
    sentences=[["今天", "不错", "。"], ["赢得", "<b>"]],
    contributions=[0.5, -0.25, 0.0, 1.0, 0.25],
    attention=[0.1, 0.2, 0.1, 0.5, 0.1],
    category="体育",
    probability=0.971,
    truth="娱乐",
    unknown=frozenset({"今天"}),
)


def test_shares_have_the_sign_of_the_contribution_and_shades_its_size() -> None:
    shaded = shade(MATCH)
    assert [word.weight for word in shaded.words] == pytest.approx([0.25, -0.125, 0.0, 0.5, 0.125])
    assert [word.shade for word in shaded.words] == pytest.approx([0.5, 0.25, 0.0, 1.0, 0.25])
    named = {name: [word.text for word in words] for name, words in shaded.strongest.items()}
    assert named["for"] == ["赢得", "今天", "<b>"] and named["against"] == ["不错"]
    assert named["attention"][:2] == ["赢得", "不错"]
    assert "attention" not in shade(MATCH._replace(attention=[])).strongest


def test_the_page_and_the_terminal_tell_words_for_from_words_against() -> None:
    text = page([MATCH], "Gradients")
    assert '<span class="w against" style="--w:0.25" title="-12.5%">不错</span>' in text
    assert "<b>今天" not in text and "&lt;b&gt;" in text and "Attention:" in text
    assert "Attention:" not in page([MATCH._replace(attention=[])], "Gradients")
    stream = io.StringIO()
    Console(file=stream, width=80, force_terminal=True, color_system="truecolor", no_color=False).print(terminal(MATCH))
    assert "48;2;255;130;0m赢得" in stream.getvalue(), "orange"
    assert "48;2;164;196;238m不错" in stream.getvalue(), "blue"
    plain = io.StringIO()
    Console(file=plain, width=80).print(terminal(MATCH))
    assert "for: 赢得 50%, 今天 25%" in plain.getvalue() and "against: 不错 -12%" in plain.getvalue()
