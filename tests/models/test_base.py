from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss
from torch.nn import functional as F

from lightning_nn import HAN, Digits, Loss, LRScheduler, Optimizer, SoftmaxClassifier, UserError
from lightning_nn.callbacks.randomness import StepSeed
from lightning_nn.checkpoint import read_checkpoint
from lightning_nn.data.text_reader import TextReader
from tests.contract import pick, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def fitted(folder: Path, loss: Loss | None = None, **arguments: Any) -> tuple[SoftmaxClassifier, Digits, Any]:
    model, data = SoftmaxClassifier(features=64, classes=3, hidden=[8]), Digits(classes=[0, 1, 2])
    model.loss = loss or Loss()
    run = trainer(folder, **{"max_epochs": 1, **arguments})
    run.fit(model, datamodule=data)
    return model, data, run


# ---------------------------------------------------------------------- metrics


def test_test_metrics_are_scikit_learns_over_the_whole_split(tmp_path: Path) -> None:
    """Not means over batches, whose last one is smaller."""
    model, data, run = fitted(tmp_path)
    metrics = run.test(model, datamodule=data, verbose=False)[0]
    probabilities = torch.cat(run.predict(model, datamodule=data)).double()
    y_prob = (probabilities / probabilities.sum(1, keepdim=True)).numpy()  # scikit-learn wants float64's ones
    labels = torch.cat([batch.label for batch in data.test_dataloader()]).numpy()  # type: ignore[misc]
    predicted = y_prob.argmax(1)
    assert metrics["test/acc"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-6)
    assert metrics["test/f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
    assert metrics["test/loss"] == pytest.approx(log_loss(labels, y_prob), abs=1e-5)
    assert model.confusion("test").tolist() == confusion_matrix(labels, predicted).tolist()


def test_a_second_test_starts_counting_anew(tmp_path: Path) -> None:
    model, data, run = fitted(tmp_path)
    first = run.test(model, datamodule=data, verbose=False)
    assert run.test(model, datamodule=data, verbose=False) == first


# ---------------------------------------------------------------------- the loss


def test_loss_is_torchs_with_smoothing_and_weights() -> None:
    model = SoftmaxClassifier(features=4, classes=3)
    model.loss = Loss(label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5])
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    expected = F.cross_entropy(logits, label, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(model.sample_losses(logits, label), expected)
    assert model.sample_losses(logits.bfloat16(), label).dtype == torch.float32


def test_balanced_weights_make_each_class_count_the_same(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path, Loss(class_weights="balanced"))
    assert model.class_weights is not None
    shares = [weight * count for weight, count in zip(model.class_weights, data.class_counts, strict=True)]
    assert shares == pytest.approx([sum(data.class_counts) / 3] * 3)


def test_topics_do_not_share_their_settings() -> None:
    one, other = (SoftmaxClassifier(features=4, classes=3) for _ in range(2))
    one.optimizer.lr, one.lr_scheduler.warmup, one.loss.label_smoothing = 9.0, 9.0, 0.9
    assert 9.0 not in (other.optimizer.lr, other.lr_scheduler.warmup) and other.loss.label_smoothing == 0


def test_one_class_is_no_classification() -> None:
    with pytest.raises(UserError, match="at least 2 classes, got 1"):
        SoftmaxClassifier(features=4, classes=1)


# ---------------------------------------------------------------------- optimisation


def test_the_schedule_moves_the_rate_with_each_step(tmp_path: Path) -> None:
    model, data = SoftmaxClassifier(features=64, classes=2), Digits(classes=[0, 1], batch_size=32)
    model.optimizer, model.lr_scheduler = Optimizer("sgd", lr=0.5), LRScheduler("cosine", warmup=2)
    run = trainer(tmp_path, max_epochs=2)
    run.fit(model, datamodule=data)
    after = run.optimizers[0].param_groups[0]["lr"]
    assert after == pytest.approx(0.5 * model.lr_scheduler.factor(run.global_step)(run.global_step), abs=1e-9)
    assert run.global_step == 2 * len(data.train_dataloader())


# ---------------------------------------------------------------------- checkpoints


def test_settings_and_reader_come_back(tmp_path: Path) -> None:
    _, _, run = fitted(tmp_path, Loss(label_smoothing=0.1, class_weights="balanced"))
    run.save_checkpoint(tmp_path / "one.ckpt")
    model = SoftmaxClassifier.load_from_checkpoint(tmp_path / "one.ckpt")
    assert not model.training
    assert model.trained_reader().categories == ["0", "1", "2"]
    assert model.loss.label_smoothing == 0.1
    assert model.class_weights == run.lightning_module.class_weights
    saved = read_checkpoint(tmp_path / "one.ckpt")["lightning_nn"]["settings"]
    assert saved["optimizer"] == asdict(SoftmaxClassifier.optimizer)


def test_weights_that_fit_are_taken_for_fine_tuning_and_the_others_named(tmp_path: Path) -> None:
    trained, _, run = fitted(tmp_path)
    run.save_checkpoint(tmp_path / "one.ckpt")
    model = SoftmaxClassifier(features=64, classes=5, hidden=[8])
    loaded, kept = model.load_weights(read_checkpoint(tmp_path / "one.ckpt"))
    assert list(loaded) == ["layers.0.weight", "layers.0.bias"]
    assert kept["layers.2.weight"] == "shape [5, 8] here, [3, 8] in the checkpoint"
    assert torch.equal(model.layers[0].weight, trained.layers[0].weight)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- prediction


def test_predict_answers_in_order_whatever_the_batch_size(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path)
    batch = pick(next(iter(data.test_dataloader())), range(10))
    raw = [picture[0].numpy() for picture in batch.image]
    model.train()
    answers = model.predict(raw)
    assert model.training, "left as it was"
    ones = model.predict(raw, batch_size=1)
    assert [a.category for a in answers] == [a.category for a in ones]
    assert [a.probability for a in answers] == pytest.approx([a.probability for a in ones], abs=1e-6)
    best = model.eval().predict_step(batch).detach().max(1)
    assert [a.category for a in answers] == [str(int(k)) for k in best.indices]
    assert [a.probability for a in answers] == pytest.approx(best.values.tolist(), abs=1e-6)


# ---------------------------------------------------------------------- chance


def drawn(folder: Path, seed: int, before: int) -> list[float]:
    """What torch draws at each of the steps of an epoch."""
    numbers: list[float] = []

    class Draw(StepSeed):
        def on_train_batch_start(self, *args: Any) -> None:
            super().on_train_batch_start(*args)
            numbers.append(float(torch.rand(())))

    torch.manual_seed(before)
    fitted(folder, callbacks=[Draw(seed)], max_epochs=2, limit_train_batches=3)
    return numbers


def test_chance_depends_on_seed_epoch_and_step_only(tmp_path: Path) -> None:
    one = drawn(tmp_path, seed=1, before=5)
    assert one == drawn(tmp_path, seed=1, before=6)
    assert one != drawn(tmp_path, seed=2, before=5)
    assert len(set(one)) == 6


def test_rows_go_to_the_same_word_and_category_wherever_they_stand() -> None:
    old = TextReader(["b", "a"], ["<unk>", "x", "y", "z"], "chars", [], 9, 9)
    new = TextReader(["a", "c"], ["<unk>", "z", "w", "x", "v"], "chars", [], 9, 9)
    source = HAN(4, 2, embedding_size=3, hidden_size=2, attention_size=2)
    source.reader = old
    checkpoint: dict[str, Any] = {"state_dict": source.state_dict()}
    source.on_save_checkpoint(checkpoint)
    model = HAN(5, 2, embedding_size=3, hidden_size=2, attention_size=2)
    begun = model.embedding.table.weight.detach().clone()
    loaded, kept = model.load_weights(checkpoint, new)
    table, given = model.embedding.table.weight, source.embedding.table.weight
    for here, there in ((0, 0), (1, 3), (3, 1)):
        assert torch.equal(table[here], given[there]), f"row {here} is not row {there} of the checkpoint"
    for here in (2, 4):
        assert torch.equal(table[here], begun[here]), f"row {here} has no word in the checkpoint"
    assert torch.equal(model.output.weight[0], source.output.weight[1]), "category a"
    assert loaded["embedding.table.weight"] == "3 of 5 words" and loaded["output.bias"] == "1 of 2 categories"
    assert not kept


def test_weights_that_do_not_fit_the_class_are_said_to(tmp_path: Path) -> None:
    model = HAN(4, 2, embedding_size=3, hidden_size=2, attention_size=2)
    checkpoint: dict[str, Any] = {"state_dict": {"other": torch.zeros(1)}, "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match=r"odd\.ckpt does not fit HAN"):
        HAN.load_from_checkpoint(tmp_path / "odd.ckpt")
