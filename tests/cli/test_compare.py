"""The verb `compare`: tables by data set, files, and what a person gets wrong."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, command
from tests.runs.test_comparison import write_predictions, write_run


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs of one data set, the second better, and one of another."""
    cost = {"seconds": 12.3, "parameters": 1_234_567}
    write_run(tmp_path / "logs/han/a", {"val/acc": 0.81, "test/acc": 0.8, **cost}, optimizer={"lr": 0.1})
    write_run(tmp_path / "logs/han/b", {"val/acc": 0.92, "test/acc": 0.7, **cost}, optimizer={"lr": 0.02})
    write_run(tmp_path / "logs/lstm/c", {"data": "bulletins"})
    return tmp_path


def test_runs_are_shown_by_data_set_the_best_first(logs: Path) -> None:
    out = command("compare", cwd=logs).ok().out
    lines = out.splitlines()
    assert lines[0].startswith("bulletins: 80 train, 10 val, 10 test")
    assert [line.split()[:3] for line in lines if "han/" in line] == [
        ["1", "han/b", "0.9200"],
        ["2", "han/a", "0.8100"],
    ]
    assert "1,234,567" in out and "2 differs from 1 in optimizer.lr 0.1" in out
    assert max(map(len, lines)) <= 80


def test_runs_of_a_model_or_those_that_are_named(logs: Path) -> None:
    assert "han/" not in command("compare", "--model", "lstm", cwd=logs).ok().out
    out = command("compare", "logs/han/a", "logs/lstm", cwd=logs).ok().out
    assert "han/a" in out and "lstm/c" in out and "han/b" not in out


def test_two_runs_are_compared_sample_by_sample(logs: Path) -> None:
    write_predictions(logs / "logs/han/a", "aaab")
    write_predictions(logs / "logs/han/b", "abbb")
    out = command("compare", "--model", "han", cwd=logs).ok().out
    assert "both right 2, only han/a 1, only han/b 1, neither 0" in out
    assert "p = 1 " in out and "only han/a: 2  a  a  b" in out
    page = logs / "page.html"
    command("compare", "logs/han", "--out", "page.html", cwd=logs).ok()
    text = page.read_text(encoding="utf-8")
    assert "only han/b is right" in text and "optimizer.lr" in text and "<script" not in text


def test_a_table_holds_every_metric_cost_and_difference(logs: Path) -> None:
    assert command("compare", "--out", "runs.csv", cwd=logs).ok().out == "runs.csv\n"
    with (logs / "runs.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["run"] for row in rows] == [str(Path("logs") / run) for run in ("lstm/c", "han/b", "han/a")]
    assert [row["optimizer.lr"] for row in rows] == ["", "0.02", "0.1"] and rows[1]["seconds"] == "12.3"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("nowhere",), ("nowhere", "no folder")),
        (("--out", "runs.txt"), ("runs.txt", ".csv")),
        (("--out", "missing/x/runs.csv", "--model", "fcn"), ("no finished run of fcn", "--model NAME")),
        (("--folder", "none"), ("no runs in none", "--model NAME")),
        (("--oute", "a.csv"), ("--oute", "'--out'")),
        (("--out", "logs/han/a/predictions.csv"), ("predictions.csv", "name another file")),
        (("--ckpt_path", "best"), ("--ckpt_path", "no effect")),
    ],
)
def test_slips_are_explained(logs: Path, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    write_predictions(logs / "logs/han/a", "aaab")
    command("compare", *argv, cwd=logs).refused(*words)


def test_comparing_imports_no_torch(logs: Path) -> None:
    code = f"import sys; from lightning_nn.cli.main import main; main(['compare', {str(logs)!r}])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "False"
