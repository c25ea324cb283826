from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nn import FCN, LogisticRegression, SoftmaxClassifier
from lightning_nn.callbacks.statistics import learning_note
from lightning_nn.data.processor import RunFacts
from lightning_nn.metrics.confusion import only_predicted
from lightning_nn.settings import Loss
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.fine_tuning import FineTune
from tests.commands import command, results, write_described, write_street

COUNTS = [6, 3, 1]


def made(*, criterion: Any = None, **loss: Any) -> Classifier:
    counts = COUNTS if criterion is None else COUNTS[:2]
    model = SoftmaxClassifier(4, 3) if criterion is None else LogisticRegression(4, criterion=criterion)
    model.loss = Loss(**loss)
    model.begin(RunFacts(class_counts=counts))
    model.setup("validate")
    return model


@pytest.mark.quick
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"class_weights": [1.0, 2.0, 5.0], "label_smoothing": 0.1},
        {"class_weights": "balanced"},
        {"criterion": "bce", "class_weights": [1.0, 3.0], "label_smoothing": 0.1},
        {"criterion": "mse"},
        {"criterion": "mse", "class_weights": [1.0, 3.0], "label_smoothing": 0.1},
    ],
)
def test_the_loss_of_guessing_is_the_least_of_one_answer_to_all(options: dict[str, Any]) -> None:
    model = made(**options)
    counts = model.facts.class_counts
    assert counts is not None
    label = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    answer = torch.zeros(() if options.get("criterion") else (3,), requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = model.sample_losses(answer.expand(len(label), *answer.shape), label).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert model.guessing_loss() == pytest.approx(loss().item(), rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"criterion": "bce"}, {"criterion": "mse"}])
def test_guessing_is_measured_by_the_classes_of_validation(options: dict[str, Any]) -> None:
    model = made(**options)
    counts = torch.tensor(model.facts.class_counts)
    weights = torch.tensor(model.class_weights or [1.0] * len(counts))
    share = counts * weights / (counts * weights).sum()
    answer = share.log() if options.get("criterion") is None else torch.logit(share[1])
    label = torch.arange(len(counts)).repeat(4)  # as many of each class
    model.split_metrics("val")["confusion"].update(label, label)
    loss = model.sample_losses(answer.expand(len(label), *answer.shape), label).mean().item()
    assert model.guessing_loss() == pytest.approx(loss, rel=1e-4)


def test_the_loss_of_guessing_without_counts_and_of_pixels() -> None:
    assert SoftmaxClassifier(4, 3).guessing_loss() == pytest.approx(math.log(3))
    pixels = FCN(3, 4, first_channels=1, class_weights="median_frequency")
    assert pixels.guessing_loss() == pytest.approx(math.log(4))


GUESS = math.log(3)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("val", "train", "monotony", "first", "words"),
    [
        (GUESS, GUESS, None, False, "val/loss is 1.1, no lower than by guessing (1.1): lower --optimizer.lr (now 0.1)"),
        (15.0, 18.0, None, False, "val/loss is 15, no lower"),
        (None, 18.0, None, False, "train/loss is 18, no lower"),
        (1.2, 1.2, "all samples", False, "and all samples: lower"),
        (0.9, 0.9, "all samples", False, "all samples: lower"),
        (2.0, 0.1, None, False, "but train/loss is 0.1"),
        (1.2, 1.3, None, True, "after the first epoch val/loss is 1.2, no lower than by guessing (1.1); if it stays"),
        (0.9, 0.9, "all samples", True, "after the first epoch all samples; if it stays so"),
        (1.2, 0.9, None, True, ""),  # statistics of batch norms are not settled yet
        (0.9, 1.2, None, True, ""),  # dropout, a warm-up
        (0.9, 1.2, None, False, ""),
        (None, None, None, False, ""),
    ],
)
def test_what_is_said_of_a_run(
    val: float | None, train: float | None, monotony: str | None, first: bool, words: str
) -> None:
    note = learning_note(SoftmaxClassifier(4, 3), val, train, monotony, first=first)
    assert words in (note or "") and bool(note) == bool(words), note
    assert note is None or "\n" not in note


def test_the_remedy_of_a_fine_tuned_network_is_its_body() -> None:
    model = FCN(3, 4, first_channels=1)
    assert "--finetune" in str(learning_note(model, 9.0, 9.0, None))
    model.pretrained = True
    note = str(learning_note(model, 9.0, 9.0, None))
    assert "--model.finetune.body_lr" in note and "--model.finetune.trainable head" in note
    alone = FCN(3, 4, first_channels=1, finetune=FineTune("head"))
    alone.pretrained = True
    assert "lower --optimizer.lr (now 0.008), or" in str(learning_note(alone, 9.0, 9.0, None))


@pytest.mark.parametrize(
    ("counts", "weights", "balance"),
    [([9, 1, 2], None, True), ([9, 1, 2], "balanced", False), ([4, 3, 3], None, False), ([5, 5, 5], None, False)],
)
def test_the_remedy_for_one_large_class_is_balance(counts: list[int], weights: Any, balance: bool) -> None:
    model = SoftmaxClassifier(4, 3)
    model.loss = Loss(class_weights=weights)
    model.begin(RunFacts(class_counts=counts))
    model.setup("validate")
    assert ("--data.balanced true" in str(learning_note(model, 0.1, 0.1, "all samples"))) == balance


@pytest.mark.parametrize(
    ("matrix", "name"),
    [
        ([[0, 3, 0], [0, 2, 0], [0, 0, 0]], "b"),
        ([[0, 0, 0], [0, 2, 0], [0, 0, 0]], None),  # there is but one
        ([[1, 2, 0], [0, 2, 0], [0, 0, 0]], None),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], None),
    ],
)
def test_one_class_for_everything(matrix: list[list[int]], name: str | None) -> None:
    assert only_predicted(torch.tensor(matrix), ["a", "b", "c"]) == name


STILL = shlex.split("--optimizer.lr 1e-12 --trainer.max_epochs 2 --trainer.enable_progress_bar false --name r")
SMALL = {
    "softmax": "--data.batch_size 512",
    "fcn": "--data segmentation --data.path . --model.first_channels 2",
    "show_and_tell": "--data captions --data.path . --model.hidden_size 4 --model.embedding_size 4",
}


@pytest.mark.parametrize(
    ("model", "words"), [("softmax", "guessing"), ("fcn", "guessing|pixels"), ("show_and_tell", "caption")]
)
def test_a_run_that_learns_nothing_says_so_after_the_first_epoch_and_at_the_end(
    model: str, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    if model == "fcn":
        write_street(folder)
    elif model == "show_and_tell":
        write_described(folder)
    else:
        folder.mkdir()
    done = command("--model", model, *SMALL[model].split(), *STILL, cwd=folder).ok()
    first = [line for line in done.err.splitlines() if line.startswith("after the first epoch")]
    note = results(folder / f"logs/{model}/r")["note"]
    assert len(first) == 1 and "if it stays so, lower --optimizer.lr (now 1e-12)" in first[0], done.err
    assert re.search(words, note) and note in done.out, note


def test_a_healthy_run_is_left_in_peace(tmp_path: Path) -> None:
    options = ("--data.batch_size", "64", "--trainer.max_epochs", "2", "--name", "r")
    done = command("--model", "softmax", *options, cwd=tmp_path).ok()
    assert results(tmp_path / "logs/softmax/r")["note"] is None and "first epoch" not in done.err
