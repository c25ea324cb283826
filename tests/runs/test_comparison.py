"""Runs side by side: which are comparable, which is best, in what they differ, and McNemar's test."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import binomtest

from lightning_nn.errors import UserError
from lightning_nn.runs.comparison import by_data, differing, disagreement, load
from lightning_nn.runs.run_folder import Run


def write_run(folder: Path, results: dict[str, Any] | None = None, **settings: Any) -> Path:
    """Write a run's folder as a training leaves it."""
    folder.mkdir(parents=True)
    sizes = {"train": 80, "val": 10, "test": 10}
    values = {"model": folder.parent.name, "data": "text", "commands": ["train.py"], "sizes": sizes, "val/acc": 0.5}
    (folder / "results.json").write_text(json.dumps(values | (results or {})), encoding="utf-8")
    config = {"model_name": folder.parent.name, "checkpoint": {"monitor": "val/acc", "mode": None}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | settings), encoding="utf-8")
    return folder


def write_predictions(folder: Path, predictions: str, truth: str = "aabb", texts: str = "1234") -> Path:
    """Write predictions.csv: a letter for each sample."""
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["split", "sample", "text", "truth", "prediction", "loss"])
        for number, (text, true, predicted) in enumerate(zip(texts, truth, predictions, strict=True), 1):
            writer.writerow(["test", number, text, true, predicted, 0.1])
    return folder / "predictions.csv"


def test_the_best_on_validation_is_first_and_the_loss_breaks_a_tie(tmp_path: Path) -> None:
    write_run(tmp_path / "han/a", {"val/acc": 0.8, "val/loss": 0.9, "test/acc": 0.9})
    write_run(tmp_path / "han/b", {"val/acc": 0.9, "val/loss": 0.9, "test/acc": 0.1})
    write_run(tmp_path / "han/c", {"val/acc": 0.9, "val/loss": 0.4, "test/acc": 0.1})
    write_run(tmp_path / "han/d", {"val/acc": float("nan"), "val/loss": 0.1})
    (runs,) = by_data(load([tmp_path]))
    assert [run.name for run in runs] == ["han/c", "han/b", "han/a", "han/d"]


def test_a_monitored_loss_is_better_where_it_is_lower(tmp_path: Path) -> None:
    checkpoint = {"monitor": "val/loss", "mode": None}
    write_run(tmp_path / "fcn/a", {"val/loss": 0.4}, checkpoint=checkpoint)
    write_run(tmp_path / "fcn/b", {"val/loss": 0.2}, checkpoint=checkpoint)
    (runs,) = by_data(load([tmp_path]))
    assert [run.name for run in runs] == ["fcn/b", "fcn/a"]


@pytest.mark.parametrize(
    ("results", "data"),
    [
        ({"sizes": {"train": 80, "val": 10, "test": 11}}, {}),
        ({"data": "bulletins"}, {}),
        ({}, {"path": "other.csv"}),
        ({}, {"label_column": "mood"}),
        ({}, {"splits": {"seed": 1}}),
    ],
)
def test_runs_on_other_data_stand_apart(tmp_path: Path, results: dict[str, Any], data: dict[str, Any]) -> None:
    write_run(tmp_path / "han/a", data={"path": "a.csv", "splits": {"seed": 0}})
    write_run(tmp_path / "han/b", results, data={"path": "a.csv", "splits": {"seed": 0}} | data)
    assert [len(group) for group in by_data(load([tmp_path]))] == [1, 1]


def test_settings_that_differ_are_named_where_all_runs_have_them(tmp_path: Path) -> None:
    common = {"optimizer": {"lr": 0.1, "name": "adam"}, "trainer": {"logger": "x"}}
    write_run(tmp_path / "han/a", seed_everything=0, model={"hidden_size": 5}, **common)
    write_run(tmp_path / "lstm/b", seed_everything=1, **common | {"optimizer": {"lr": 0.2, "name": "adam"}})
    (runs,) = by_data(load([tmp_path]))
    assert sorted(differing(runs)) == ["optimizer.lr", "seed_everything"]


def test_a_run_is_loaded_once_however_often_it_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "han/a")
    assert [record.folder for record in load([run, tmp_path, run])] == [run]


def test_further_tests_of_a_run_are_no_runs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "han/a")
    folder = Run(run).new_test().folder
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"test/acc": 0.5}', encoding="utf-8")
    assert [record.folder for record in load([tmp_path])] == [run]


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "han"}', "\ud800"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / "han/a")
    (run / "results.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=r"han.a.results\.json"):
        list(load([tmp_path]))


def test_samples_that_one_run_alone_has_right(tmp_path: Path) -> None:
    one = write_predictions(write_run(tmp_path / "han/a"), "aaab")
    other = write_predictions(write_run(tmp_path / "han/b"), "abbb")
    pair = disagreement(one, other)
    assert pair is not None and (pair.both, pair.neither) == (2, 0)
    assert [row["text"] for row in pair.first] == ["2"] and [row["text"] for row in pair.second] == ["3"]
    assert pair.first[0] == {"split": "test", "sample": "2", "text": "2", "truth": "a", "first": "a", "second": "b"}


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 15), (10, 10), (300, 340)])
def test_p_is_that_of_the_binomial_test(tmp_path: Path, b: int, c: int) -> None:
    truth = "a" * (b + c + 1)
    texts = "".join(chr(0x4E00 + k) for k in range(b + c + 1))
    one = write_predictions(write_run(tmp_path / "han/a"), "a" * (b + 1) + "b" * c, truth, texts)
    other = write_predictions(write_run(tmp_path / "han/b"), "a" + "b" * b + "a" * c, truth, texts)
    pair = disagreement(one, other)
    assert pair is not None and (len(pair.first), len(pair.second)) == (b, c)
    assert pair.p == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)


@pytest.mark.parametrize(("truth", "texts"), [("aabb", "1235"), ("aaab", "1234"), ("aab", "123")])
def test_other_samples_are_not_compared(tmp_path: Path, truth: str, texts: str) -> None:
    one = write_predictions(write_run(tmp_path / "han/a"), "aabb")
    other = write_predictions(write_run(tmp_path / "han/b"), "a" * len(truth), truth, texts)
    assert disagreement(one, other) is None
