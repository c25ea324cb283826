"""The report: one page with nothing from outside, in two languages, of bounded size."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from lightning_nn.metrics.calibration import Bin
from lightning_nn.tasks.artifacts import (
    Artifact,
    Calibration,
    Captions,
    ConfusionMatrix,
    Explanation,
    Legend,
    Masks,
    Mistake,
    Mistakes,
)
from lightning_nn.visualization import report as module
from lightning_nn.visualization.charts import HEIGHT, WIDTH, chart
from lightning_nn.visualization.report import Report, page
from tests.visualization.test_draw import EVIL, IMAGE, MASK, Tags

WORDS = Explanation([["质量", "好"]], [[0.4, 0.6]], [1.0], "bad", 0.9)
MISTAKE = Mistake("a.csv:3", "质量好", EVIL, "bad", 0.9, 0.1, WORDS)
NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
ARTIFACTS: list[Artifact] = [
    ConfusionMatrix(torch.tensor([[3, 1], [0, 4]]), ["bad", EVIL]),
    Mistakes([MISTAKE, MISTAKE._replace(shown=NOISE)], 1234, 5000),
    Calibration([Bin(0.9, 0.8, 5)], [Bin(0.95, 0.8, 5)], 0.125, 0.15, 1.5),
    Masks([IMAGE], [MASK], [MASK], Legend(["a"]), "worst", [f"mean IoU {EVIL}"]),
    Captions([IMAGE], [EVIL], [["a hound"]], "worst", ["1.png: CIDEr-D 0.12"]),
]
SCORE = {"precision": 0.75, "recall": 1.0, "f1": 0.857, "samples": 1200}
RESULTS = {"data": "text", "test/acc": 0.875, "val/acc": 0.9, "val/loss": math.inf, "test/classes": {EVIL: SCORE}}
RESULTS |= {"seconds": 61.5, "parameters": 8_200_000, "finished": "2026-11-30T12:00:00", "note": None}
REPORT = Report(
    "han, r",
    RESULTS,
    [("optimizer.lr", "0.001", EVIL)],
    {"train/loss": [(1, 2.0), (3, 1.0)], "val/loss": [(2, 1.5)], "val/acc": [(2, 0.5)], "train/loss_step": [(1, 1.0)]}
    | {f"train/{name}": [(1, 1.0), (2, 0.5)] for name in ("lr", "lr_1", "grad_norm")},
    ARTIFACTS,
    {"repeat": f"train.py --data.path '{EVIL}'", "resume": "", "predict": "train.py predict"},
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_harmless_and_alone(language: module.Language) -> None:
    text = page(REPORT, language)
    tags = Tags(text.replace("<br>", ""))
    assert tags.open == [] and all(source.startswith("data:image/") for source in tags.images)
    assert "<script" not in text and "\x1b" not in text and "url(" not in text
    assert not re.search(r'(?:src|href)=(?!"data:)', text) and "http" not in text.replace("http-equiv", "")
    shown = ("0.8750", "0.857", "1,200", "optimizer.lr", "a.csv:3", "1,234", "5,000", "0.125", "61.5", "8,200,000")
    assert [part for part in shown if part not in text] == []
    assert text.count("<polyline") >= 2 + 1 + 3 and "loss_step" not in text
    assert "grad_norm" not in text and "lr_1" not in text, "those of single steps are in TensorBoard"
    assert f'<html lang="{language}">' in text


def test_both_languages_say_the_same() -> None:
    en, zh = (page(REPORT, language) for language in ("en", "zh"))
    assert "Most confident mistakes" in en and "最有把握的错误" in zh and "Most confident" not in zh
    assert en.count("<section>") == zh.count("<section>") == 10
    assert "5,000 个测试样本中有 1,234 个错了" in zh and "1,234 of 5,000 test samples are wrong" in en


def test_what_a_run_lacks_is_left_out() -> None:
    bare = page(Report("softmax, r", {"data": "digits"}, [], {}, [], {"repeat": "train.py"}))
    assert bare.count("<section>") == 3 and "the run has the defaults" in bare
    right = page(REPORT._replace(artifacts=[Mistakes([], 0, 9)]))
    assert "All test samples are right." in right


def test_a_page_has_as_many_mistakes_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    forty = Mistakes([MISTAKE._replace(shown=NOISE)] * 40, 40, 50)
    whole = page(REPORT._replace(artifacts=[forty]))
    assert whole.count("<article>") == 40 and len(whole.encode()) < module.LIMIT
    monkeypatch.setattr(module, "LIMIT", len(whole.encode()) // 3)
    smaller = page(REPORT._replace(artifacts=[forty]))
    assert 0 < smaller.count("<article>") < 20 and len(smaller.encode()) <= module.LIMIT


def test_many_classes_are_a_picture() -> None:
    names = [f"class {k}" for k in range(30)]
    text = page(REPORT._replace(artifacts=[ConfusionMatrix(torch.eye(30, dtype=torch.int64), names)]))
    assert len(Tags(text).images) == 1 and 'class="confusion"' not in text


def test_a_chart_spans_its_points_and_leaves_out_what_is_not_finite() -> None:
    drawn = chart("loss", {"train": [(0, 4.0), (5, math.nan), (10, 2.0)], "val": [(5, 3.0)], "none": [(1, math.inf)]})
    assert drawn is not None and [line.name for line in drawn.lines] == ["train", "val"]
    assert drawn.lines[0].points == f"0,0 {WIDTH},{HEIGHT}"
    assert drawn.lines[1].dots == [(WIDTH / 2, HEIGHT / 2)]
    assert drawn.x == ("0", "10") and drawn.y == ("2", "4")
    assert chart("loss", {"train": [(0, math.nan)]}) is None and chart("loss", {}) is None
    long = chart("loss", {"train": [(x, x) for x in range(5001)]})
    assert long is not None and len(long.lines[0].points.split()) <= 402 and long.lines[0].points.endswith(f"{WIDTH},0")
