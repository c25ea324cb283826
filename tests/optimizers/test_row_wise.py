from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nn import LSTMClassifier, Optimizer
from lightning_nn.callbacks.resume import ExactResume, StepSeed
from lightning_nn.optimizers import RowWiseAdam, RowWiseAdamW
from lightning_nn.tasks import training
from tests.cases import text_data
from tests.contract import differing, trainer

V, E = 300, 4
SETTINGS = [(RowWiseAdam, torch.optim.Adam, 0.0), (RowWiseAdamW, torch.optim.AdamW, 0.3)]


def batches(count: int) -> list[Tensor]:
    """Ids of words, of which most are rare and a tenth never occurs; each batch has some twice."""
    random = torch.Generator().manual_seed(0)
    return [(torch.rand(20, generator=random) ** 4 * 0.9 * V).long() for _ in range(count)]


def train(table: nn.Embedding, optimizer: torch.optim.Optimizer, words: list[Tensor], first: int = 0) -> None:
    """Steps towards a target of each word, under a learning rate that rises."""
    target = torch.arange(V * E, dtype=torch.float64).view(V, E).sin()
    for i, batch in enumerate(words, first):
        optimizer.param_groups[0]["lr"] = 0.01 + 1e-4 * i
        optimizer.zero_grad()
        (table(batch) - target[batch]).pow(2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def pair(cls: Any, decay: float) -> tuple[nn.Embedding, Any]:
    torch.manual_seed(0)
    table = nn.Embedding(V, E).double()
    return table, cls(table.parameters(), lr=0.01, weight_decay=decay, eps=1e-14, tables=[table])


@pytest.mark.parametrize(("cls", "dense", "decay"), SETTINGS)
def test_it_is_the_training_of_the_dense_optimizer(cls: Any, dense: Any, decay: float) -> None:
    table, optimizer = pair(cls, decay)
    other = copy.deepcopy(pair(cls, decay)[0])
    other.sparse = False
    words = batches(500)
    assert len(torch.cat(words).unique()) < V, "some rows never occur"
    start = other.weight.detach().clone()
    train(table, optimizer, words)
    train(other, dense(other.parameters(), lr=0.01, weight_decay=decay, eps=1e-14), words)
    optimizer.release()
    torch.testing.assert_close(table.weight, other.weight, atol=1e-6, rtol=0)
    assert (other.weight - start).abs().mean() > 0.1, "they moved"


def test_eps_is_that_of_the_dense_optimizer_where_gradients_are_tiny() -> None:
    moved = []
    for cls in (RowWiseAdam, torch.optim.Adam):
        torch.manual_seed(0)
        table = nn.Embedding(V, E).double()
        optimizer = cls(table.parameters(), lr=0.01, **({"tables": [table]} if cls is RowWiseAdam else {}))
        start = table.weight.detach().clone()
        for batch in batches(100):
            optimizer.zero_grad()
            (1e-8 * table(batch)).sum().backward()
            optimizer.step()
        moved.append(table(torch.arange(V)).detach() - start)
    torch.testing.assert_close(moved[0], moved[1], atol=0.02 * float(moved[1].abs().max()), rtol=0)


@pytest.mark.parametrize(("cls", "dense", "decay"), SETTINGS)
def test_bits_do_not_depend_on_when_rows_are_read(cls: Any, dense: Any, decay: float) -> None:
    (one, first), (two, second) = pair(cls, decay), pair(cls, decay)
    words = batches(60)
    train(one, first, words)
    for i in range(0, 60, 7):
        train(two, second, words[i : i + 7], i)
        two.state_dict()
        two(torch.arange(0, V, 3))
    assert torch.equal(one.state_dict()["weight"], two.state_dict()["weight"])


@pytest.mark.parametrize(("cls", "dense", "decay"), SETTINGS)
def test_a_saved_state_goes_on_with_the_same_bits(cls: Any, dense: Any, decay: float) -> None:
    (one, first), (two, second) = pair(cls, decay), pair(cls, decay)
    words = batches(60)
    train(one, first, words[:31])
    weights, state = copy.deepcopy(one.state_dict()), copy.deepcopy(first.state_dict())
    two.load_state_dict(weights)
    second.load_state_dict(state)
    train(one, first, words[31:], 31)
    train(two, second, words[31:], 31)
    assert torch.equal(one.state_dict()["weight"], two.state_dict()["weight"])


def test_only_rows_of_the_batch_are_touched() -> None:
    table, optimizer = pair(RowWiseAdam, 0.0)
    train(table, optimizer, batches(3))
    last = optimizer.state[table.weight]["last"]
    assert last[batches(3)[2]].eq(3).all()
    assert int(last.eq(3).sum()) == len(batches(3)[2].unique())


def test_what_is_loaded_is_not_moved_by_earlier_steps() -> None:
    table, optimizer = pair(RowWiseAdam, 0.0)
    train(table, optimizer, batches(5))
    zeros = {"weight": torch.zeros(V, E)}
    table.load_state_dict(zeros)
    optimizer.release()
    assert not table.weight.any() and not table.sparse


def lstm(data: Any, name: str) -> LSTMClassifier:
    torch.manual_seed(0)
    model = LSTMClassifier.for_data(data, embedding_size=8, hidden_size=4, pooling="mean")  # no gradient near eps
    model.optimizer = Optimizer(name, lr=0.01, weight_decay=0.1 * (name == "adamw"))  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_updates_rows_clips_and_resumes_like_a_dense_one(
    name: str, accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    settings = {
        "max_epochs": 3,
        "gradient_clip_val": 0.05,
        "precision": "64-true",
        "accumulate_grad_batches": accumulate,
    }
    weights, middle = {}, tmp_path / "middle.ckpt"
    for kind, least in (("dense", 10**9), ("rows", 0), ("resumed", 0)):
        monkeypatch.setattr(training, "ROW_WISE_FROM", least)
        data = text_data(tmp_path)
        model = lstm(data, name)
        callbacks: list[Any] = [StepSeed(0), ExactResume()] + [SaveAt(8, middle)] * (kind == "rows")
        run = trainer(tmp_path, callbacks=callbacks, **settings)
        run.fit(model, datamodule=data, ckpt_path=str(middle) if kind == "resumed" else None)
        assert isinstance(run.optimizers[0], RowWiseAdam | RowWiseAdamW) == (kind != "dense")
        weights[kind] = copy.deepcopy(model.state_dict())
    assert differing(weights["rows"], weights["resumed"]) == []
    for key, value in weights["dense"].items():
        torch.testing.assert_close(weights["rows"][key], value, atol=2e-4, rtol=0)


class SaveAt(StepSeed):
    """Saves a checkpoint behind a batch."""

    def __init__(self, batch: int, path: Path) -> None:
        self.batch, self.path, self.seen = batch, path, 0

    def on_train_batch_start(self, *args: Any) -> None:
        pass

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.seen += 1
        if self.seen == self.batch:
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {}


def test_where_all_rows_are_read_or_rows_would_not_pay_the_optimizer_is_dense(tmp_path: Path) -> None:
    data = text_data(tmp_path)
    model = lstm(data, "adam")
    tables = model.tables()
    run = trainer(tmp_path)
    assert training.row_wise_tables(tables, Optimizer("adam"), run) == [], "small"
    large = [nn.Embedding(training.ROW_WISE_FROM, 1)]
    assert training.row_wise_tables(large, Optimizer("adam"), run) == large
    assert training.row_wise_tables(large, Optimizer("adamw", weight_decay=0.1), run) == large
    assert training.row_wise_tables(large, Optimizer("adam", weight_decay=0.1), run) == [], "decay is in the gradient"
    assert training.row_wise_tables(large, Optimizer("sgd"), run) == []
    assert training.row_wise_tables(large, Optimizer("adam"), None) == [], "a loop of one's own"
    clips = trainer(tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm="value")
    assert training.row_wise_tables(large, Optimizer("adam"), clips) == []
    (average,) = [cls(1e-3) for cls in training._AVERAGES[:1]]
    assert training.row_wise_tables(large, Optimizer("adam"), trainer(tmp_path, callbacks=[average])) == []
