from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_nn.visualization.confusion import picture, report
from lightning_nn.visualization.images import LABEL, _within, labels
from lightning_nn.visualization.pages import markdown_text


@pytest.mark.parametrize("classes", [2, *(pytest.param(number, marks=pytest.mark.seconds) for number in (21, 41, 101))])
def test_any_number_of_classes_makes_a_picture(classes: int) -> None:
    matrix = torch.eye(classes, dtype=torch.int64) * 7
    image = picture(matrix, [f"category number {k}" for k in range(classes)], "val")
    height, width, channels = image.shape
    assert image.dtype == np.uint8 and channels == 3
    assert 300 <= height == width <= 1100, image.shape
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_names_that_no_font_has_become_numbers() -> None:
    names, _ = labels(["a", "b\U000e0101\U0010fffd"])
    assert names == ["0", "1"]
    assert labels(["été", "b"])[0] == ["été", "b"]


def test_names_of_formulas_and_commands_are_drawn_as_they_stand() -> None:
    matrix = torch.tensor([[0, 3], [0, 0]])
    assert picture(matrix, ["$\\frac{", "a\x1b[31mb\n"], "50 % $x_{").ndim == 3


def test_long_names_are_cut_by_columns() -> None:
    assert _within("一二三四五六七八九十", LABEL) == "一二三四五六七…"
    assert _within("short", LABEL) == "short"


def test_the_report_says_what_each_class_is_taken_for() -> None:
    matrix = torch.tensor([[8, 2, 0], [0, 5, 0], [1, 3, 1]])
    rows = report(matrix, ["体|育", "b", "c"]).splitlines()[2:]
    assert rows[0] == "| 0 | 体&#124;育 | 0.889 | 0.800 | 0.842 | 10 | b (2) |"
    assert rows[1] == "| 1 | b | 0.500 | 1.000 | 0.667 | 5 |  |"
    assert rows[2].endswith("| b (3) |")


def test_markdown_leaves_no_character_that_marks_up() -> None:
    out = markdown_text("<b>*_`[x](y)|\n# 中文 A1")
    assert out.replace("&#", "").replace(";", "").replace(" ", "").isalnum(), out
    assert "中文 A1" in out
