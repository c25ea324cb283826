"""The verb `tune`: the rates that are tried, the command that uses the best, and the largest batch."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lightning_nn import SoftmaxClassifier
from lightning_nn.cli import tune as verb
from lightning_nn.cli.request import parse
from lightning_nn.cli.trial import train_command
from lightning_nn.cli.tune import ShortRun, untried
from tests.commands import command

MODEL = ["tune", "--model", "softmax", "--data", "digits", "--data.batch_size", "128"]
DIGITS = [*MODEL, "--trainer.enable_progress_bar", "false"]


def tried(folder: Path) -> list[dict[str, float]]:
    with (folder / "logs/tune/softmax-digits/learning_rate.csv").open(encoding="utf-8") as stream:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(stream)]


def test_a_rate_that_is_far_too_low_is_found_out(tmp_path: Path) -> None:
    result = command(*DIGITS, "--optimizer.lr", "0.002", "--trainer.max_epochs", "10", cwd=tmp_path, drawn=True).ok()
    runs = tried(tmp_path)
    rates = [run["lr"] for run in runs]
    best = max(runs, key=lambda run: (run["val/acc"], -run["val/loss"]))
    assert rates == sorted(rates) and 0.002 in rates and best["lr"] > 0.01 and best["val/acc"] > 0.8
    for factor in (1 / 3, 3):
        assert any(abs(rate / (factor * best["lr"]) - 1) < 0.5 for rate in rates), "a best rate has neighbours"
    said = next(line for line in result.out.splitlines() if line.startswith("train  ") and "python" in line)
    words = shlex.split(said)
    assert words[words.index("--optimizer.lr") + 1] == f"{best['lr']:g}" and words.count("--optimizer.lr") == 1
    assert "tune" not in words and "as set" in result.out and "suggestion" in result.out
    table = result.out[result.out.index("\nlr ") :].split("train  ")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "on a GPU alone" in result.out
    with Image.open(tmp_path / "logs/tune/softmax-digits/learning_rate.png") as image:
        assert image.size == (800, 340) and len(image.getcolors(100_000) or []) > 20
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["tune"], "no run is kept"


def test_rates_that_diverge_are_passed_over(tmp_path: Path) -> None:
    result = command(*DIGITS, "--optimizer.lr", "1e37", "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    assert "diverged" in result.out
    runs = tried(tmp_path)
    assert runs[-1]["lr"] == pytest.approx(1e37) and runs[0]["val/loss"] < 1e38


def test_neighbours_of_the_best_are_next() -> None:
    runs = [ShortRun(lr, {"val/acc": 0.5}, 1.0) for lr in (1e-5, 0.1)]
    assert untried([runs[1], runs[1]], runs) == [0.3, 0.033]
    assert untried(list(reversed(runs)), [*runs, ShortRun(0.25, {}, 1.0)]) == [0.033, 3e-5, 3.3e-6]
    assert untried([None], runs) == [1e-6]


def test_the_command_has_each_setting_once() -> None:
    argv = ["tune", "--model", "han", "--optimizer.lr", "0.1", "--name", "x", "--optimizer.name=adam", "--trials=3"]
    words = shlex.split(train_command(parse(argv), {"optimizer.lr": 0.003, "model.pooling": "mean"}))
    expected = "--model han --optimizer.name=adam --optimizer.lr 0.003 --model.pooling mean"
    assert words[words.index("--model") :] == expected.split()


def test_the_largest_batch_is_the_last_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = SoftmaxClassifier.training_means

    def limited(model: SoftmaxClassifier, batch: Any) -> Any:
        if batch.size > 300:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(model, batch)

    monkeypatch.setattr(SoftmaxClassifier, "training_means", limited)
    monkeypatch.setattr(verb, "has_own_memory", lambda trainer: True)
    result = command(*DIGITS, "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    assert "the largest that fits is 256, now 128: --data.batch_size 256" in result.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--data", "digits"), ("choose a model",)),
        (("--model", "softmax", "--ckpt_path", "best"), ("--ckpt_path best", "no effect on tune")),
        (("--model", "softmax", "--trainer.fast_dev_run", "true"), ("fast_dev_run", "leave it out")),
        (("--model", "style_transfer"), ("style_transfer", "no validation")),
        (("--model", "softmax", "--optimizer.rl", "3"), ("unknown option --optimizer.rl", "--help")),
    ],
)
def test_slips_are_explained(tmp_path: Path, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    command("tune", *argv, cwd=tmp_path).refused(*words)
