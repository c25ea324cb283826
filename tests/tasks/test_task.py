from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss
from torch.nn import functional as F

from lightning_nn import (
    HAN,
    ConvNet,
    Digits,
    LogisticRegression,
    Loss,
    LRScheduler,
    LSTMClassifier,
    Optimizer,
    SoftmaxClassifier,
    TextData,
    UserError,
)
from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.tasks.classification import symmetric_kl
from tests.contract import differing, trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step` but have no `val_dataloader`.*"
)


def fitted(folder: Path, loss: Loss | None = None, **arguments: Any) -> tuple[SoftmaxClassifier, Digits, Any]:
    model, data = SoftmaxClassifier(features=64, num_classes=3, hidden=[8]), Digits(classes=[0, 1, 2])
    model.loss = loss or Loss()
    run = trainer(folder, **{"max_epochs": 1, **arguments})
    run.fit(model, datamodule=data)
    return model, data, run


# ---------------------------------------------------------------------- metrics


def test_test_metrics_are_scikit_learns_over_the_whole_split(tmp_path: Path) -> None:
    """Not means over batches, whose last one is smaller."""
    model, data, run = fitted(tmp_path)
    metrics = run.test(model, datamodule=data, verbose=False)[0]
    model.calibrated = False
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


@pytest.mark.quick
def test_loss_is_torchs_with_smoothing_and_weights() -> None:
    model = SoftmaxClassifier(features=4, num_classes=3)
    model.loss = Loss(label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5])
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    expected = F.cross_entropy(logits, label, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(model.sample_losses(logits, label), expected)
    assert model.sample_losses(logits.bfloat16(), label).dtype == torch.float32


def test_r_drop_adds_how_far_two_passes_are_apart(tmp_path: Path) -> None:
    class Passes(SoftmaxClassifier):
        def __init__(self) -> None:
            super().__init__(features=64, num_classes=3)
            self.passes: list[torch.Tensor] = []
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, batch: Any) -> torch.Tensor:
            logits = self.dropout(super().forward(batch))
            self.passes.append(logits.detach())
            return logits

    model, data = Passes(), Digits(classes=[0, 1, 2], batch_size=32)
    model.loss = Loss(r_drop=2.0)
    trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0).fit(model, datamodule=data)
    first, second = model.passes
    assert not torch.equal(first, second)
    batch = next(iter(data.train_dataloader()))
    costs = [F.cross_entropy(logits, batch.label) for logits in (first, second)]
    apart = symmetric_kl(first.log_softmax(1), second.log_softmax(1)).mean()
    expected = float((costs[0] + costs[1]) / 2 + 2 * apart)
    assert float(model.trainer.callback_metrics["train/loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("criterion", ["bce", "mse"])
def test_logarithms_of_probabilities_are_theirs(criterion: Any) -> None:
    models = [SoftmaxClassifier(features=4, num_classes=3), LogisticRegression(features=4, criterion=criterion)]
    for model, logits in zip(models, (torch.randn(6, 3), torch.randn(6)), strict=True):
        torch.testing.assert_close(model.log_probabilities(logits).exp(), model.probabilities(logits))


def test_whether_a_model_drops_anything() -> None:
    sizes: dict[str, Any] = {"embedding_size": 3, "hidden_size": 2, "attention_size": 2}
    assert not SoftmaxClassifier(4, 2).has_dropout and not HAN(9, 2, **sizes, dropout=0.0, word_dropout=0.0).has_dropout
    assert HAN(9, 2, **sizes, dropout=0.0, word_dropout=0.1).has_dropout
    assert HAN(9, 2, **sizes, dropout=0.1, word_dropout=0.0).has_dropout


def test_balanced_weights_make_each_class_count_the_same(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path, Loss(class_weights="balanced"))
    assert model.class_weights is not None
    shares = [weight * count for weight, count in zip(model.class_weights, data.class_counts, strict=True)]
    assert shares == pytest.approx([sum(data.class_counts) / 3] * 3)


def test_topics_do_not_share_their_settings() -> None:
    one, other = (SoftmaxClassifier(features=4, num_classes=3) for _ in range(2))
    one.optimizer.lr, one.lr_scheduler.warmup, one.loss.label_smoothing = 9.0, 9.0, 0.9
    assert 9.0 not in (other.optimizer.lr, other.lr_scheduler.warmup) and other.loss.label_smoothing == 0


def test_one_class_is_no_classification() -> None:
    with pytest.raises(UserError, match="at least 2 classes, got 1"):
        SoftmaxClassifier(features=4, num_classes=1)


# ---------------------------------------------------------------------- optimisation


def test_the_schedule_moves_the_rate_with_each_step(tmp_path: Path) -> None:
    model, data = SoftmaxClassifier(features=64, num_classes=2), Digits(classes=[0, 1], batch_size=32)
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
    assert model.require_processor().categories == ["0", "1", "2"]
    assert model.loss.label_smoothing == 0.1
    assert model.class_weights == run.lightning_module.class_weights
    saved = Checkpoint.open(tmp_path / "one.ckpt").settings
    assert saved["optimizer"] == asdict(SoftmaxClassifier.optimizer)


def test_weights_that_fit_are_taken_for_fine_tuning_and_the_others_named(tmp_path: Path) -> None:
    trained, _, run = fitted(tmp_path)
    run.save_checkpoint(tmp_path / "one.ckpt")
    model = SoftmaxClassifier(features=64, num_classes=5, hidden=[8])
    loaded, kept = model.load_weights(Checkpoint.open(tmp_path / "one.ckpt"))
    assert list(loaded) == ["layers.0.weight", "layers.0.bias"]
    assert kept["layers.2.weight"] == "shape [5, 8] here, [3, 8] in the checkpoint"
    assert torch.equal(model.layers[0].weight, trained.layers[0].weight)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- prediction


def test_predict_answers_in_order_whatever_the_batch_size(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path)
    batch = next(iter(data.test_dataloader())).select(range(10))
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
    """Draw a number by torch at each of the steps of an epoch."""
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
    old = TextProcessor(["b", "a"], ["<unk>", "x", "y", "z"], "chars", [], 9, 9)
    new = TextProcessor(["a", "c"], ["<unk>", "z", "w", "x", "v"], "chars", [], 9, 9)
    source = HAN(4, 2, embedding_size=3, hidden_size=2, attention_size=2)
    source.processor = old
    checkpoint: dict[str, Any] = {"state_dict": source.state_dict()}
    source.on_save_checkpoint(checkpoint)
    model = HAN(5, 2, embedding_size=3, hidden_size=2, attention_size=2)
    begun = model.embedding.table.weight.detach().clone()
    loaded, kept = model.load_weights(Checkpoint.of(checkpoint, "one.ckpt"), new)
    table, given = model.embedding.table.weight, source.embedding.table.weight
    for here, there in ((0, 0), (1, 3), (3, 1)):
        assert torch.equal(table[here], given[there]), f"row {here} is not row {there} of the checkpoint"
    for here in (2, 4):
        assert torch.equal(table[here], begun[here]), f"row {here} has no word in the checkpoint"
    assert torch.equal(model.output.weight[0], source.output.weight[1]), "category a"
    assert loaded["embedding.table.weight"] == "3 of 5 words" and loaded["output.bias"] == "1 of 2 categories"
    assert not kept


def test_rows_of_characters_go_to_the_same_character(tmp_path: Path) -> None:
    old = TextProcessor(["b", "a"], ["<unk>", "xy", "z"], "jieba", [], 9, 9)
    new = TextProcessor(["a", "c"], ["<unk>", "zw", "x"], "jieba", [], 9, 9)
    sizes = {"embedding_size": 3, "hidden_size": 2, "attention_size": 2, "character_vectors": True, "num_characters": 4}
    source, model = HAN(3, 2, **sizes), HAN(3, 2, **sizes)  # type: ignore[arg-type]
    source.processor = old
    checkpoint: dict[str, Any] = {"state_dict": source.state_dict()}
    source.on_save_checkpoint(checkpoint)
    loaded, _ = model.load_weights(Checkpoint.of(checkpoint, "one.ckpt"), new)
    assert model.embedding.characters is not None and source.embedding.characters is not None
    own, given = model.embedding.characters.weight, source.embedding.characters.weight
    for here, there in ((0, 0), (1, 3), (3, 1)):  # none, z, x
        assert torch.equal(own[here], given[there])
    assert loaded["embedding.characters.weight"] == "3 of 4 characters"


def reviews(path: Path) -> TextData:
    """Words of several characters."""
    rows = [("羽毛球公开赛开幕。", "体育"), ("商业银行股东大会。", "财经")] * 5
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return TextData(str(path), vocabulary=TextVocabulary(min_count=1))


def assert_spelled(model: Any, data: TextData) -> None:
    words, known = data.processor.vocabulary.words, data.processor.vocabulary.characters
    spelled = ["".join(known[i] for i in row) for row in model.embedding.word_characters.tolist()]
    assert spelled == ["", *words[1:]] and max(map(len, words[1:])) > 1


@pytest.mark.parametrize("topic", [HAN, LSTMClassifier])
def test_a_model_learns_from_its_data_how_words_are_spelled(topic: Any, tmp_path: Path) -> None:
    data = reviews(tmp_path / "a.tsv")
    model = topic(**data.describe(), embedding_size=4, hidden_size=4, character_vectors=True)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    assert_spelled(model, data)
    run.save_checkpoint(tmp_path / "mine.ckpt")
    loaded = topic.load_from_checkpoint(tmp_path / "mine.ckpt")
    assert_spelled(loaded, data)
    assert loaded.predict(["羽毛球。"]) == model.predict(["羽毛球。"])


def test_in_a_loop_of_ones_own_the_reader_tells_how_words_are_spelled(tmp_path: Path) -> None:
    data = reviews(tmp_path / "a.tsv")
    model = HAN(**data.describe(), embedding_size=4, hidden_size=4, character_vectors=True)
    batch = data.sources["train"][np.arange(2)]
    with pytest.raises(RuntimeError, match="no spelling yet"):
        model(batch)
    model.processor = data.processor
    assert_spelled(model, data)
    model(batch).sum().backward()
    assert model.embedding.characters is not None and model.embedding.characters.weight.grad is not None
    assert model.embedding.characters.weight.grad.any()
    copy = HAN(**data.describe(), embedding_size=4, hidden_size=4, character_vectors=True)
    copy.load_state_dict(model.state_dict())
    assert torch.equal(copy.eval()(batch), model.eval()(batch))


def test_a_model_that_was_made_for_other_words_says_so(tmp_path: Path) -> None:
    data = reviews(tmp_path / "a.tsv")
    model = HAN(
        vocabulary_size=4, num_classes=2, embedding_size=4, hidden_size=4, character_vectors=True, num_characters=3
    )
    with pytest.raises(UserError, match=r"belongs to other data: made for 4 words of 3 characters, not for .*for_data"):
        trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)
    with pytest.raises(UserError, match="takes TextBatch of"):
        trainer(tmp_path, max_epochs=1).fit(model, datamodule=Digits(classes=[0, 1]))


def test_weights_that_do_not_fit_the_class_are_said_to(tmp_path: Path) -> None:
    model = HAN(4, 2, embedding_size=3, hidden_size=2, attention_size=2)
    checkpoint: dict[str, Any] = {"state_dict": {"other": torch.zeros(1)}, "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    checkpoint["hyper_parameters"]["vocabulary_size"] = 10**12
    torch.save(checkpoint, tmp_path / "huge.ckpt")
    with pytest.raises(UserError, match=r"huge\.ckpt: a HAN of its arguments needs more memory than this machine has"):
        HAN.load_from_checkpoint(tmp_path / "huge.ckpt")
    with pytest.raises(UserError, match=r"odd\.ckpt does not fit this HAN"):
        HAN.load_from_checkpoint(tmp_path / "odd.ckpt")


# ---------------------------------------------------------------------- a loaded model in research code


def characters(path: Path, *texts: str) -> TextData:
    """Each text five times, in two categories by turns."""
    path.write_text("".join(f"{text}\t{'甲乙'[i % 2]}\n" for i, text in enumerate(texts * 5)), encoding="utf-8")
    return TextData(str(path), vocabulary=TextVocabulary("chars", min_count=1))


def test_a_loaded_model_keeps_its_vocabulary_on_other_data(tmp_path: Path) -> None:
    """The same words, but others are frequent: the data's own vocabulary would give other ids."""
    first = characters(tmp_path / "a.tsv", "一一一二。", "三三三四。")
    other = characters(tmp_path / "b.tsv", "四四二。", "二二三一。")
    trained = HAN(**first.describe(), embedding_size=4, hidden_size=4, attention_size=4)
    trainer(tmp_path, max_epochs=1).fit(trained, datamodule=first)
    other.prepare_once()
    assert other.processor.vocabulary.words != first.processor.vocabulary.words
    asked = ["一二三四。"]
    before = trained.predict(asked)
    for run in (trainer(tmp_path).test, trainer(tmp_path, max_epochs=1, max_steps=0).fit):
        run(trained, datamodule=other)  # type: ignore[operator]
        assert other.processor.vocabulary.words == first.processor.vocabulary.words
        assert trained.predict(asked) == before


def test_numpys_numbers_and_paths_are_plain_in_a_checkpoint(tmp_path: Path) -> None:
    data = characters(tmp_path / "a.tsv", "一二。", "三四。")
    data.save_hyperparameters({"path": tmp_path / "a.tsv"}, logger=False)
    sizes = {name: np.int64(value) for name, value in data.describe().items()}
    model = HAN(**sizes, embedding_size=4, hidden_size=4, attention_size=4)  # type: ignore[arg-type]
    model.loss = Loss(class_weights=torch.tensor([1.0, 2.0]).tolist())
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    run.save_checkpoint(tmp_path / "mine.ckpt")
    loaded = HAN.load_from_checkpoint(tmp_path / "mine.ckpt", strict=True, weights_only=True)
    assert loaded.predict(["一二。"]) == model.predict(["一二。"])


def test_what_no_checkpoint_can_hold_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    model, _, run = fitted(tmp_path)
    model.hparams["init"] = object()
    with pytest.raises(UserError, match=r"arguments\.init is a object; a checkpoint holds plain data"):
        run.save_checkpoint(tmp_path / "mine.ckpt")


def test_a_loaded_model_trains_with_dropout_again(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path)
    model.eval()  # as load_from_checkpoint returns it
    modes: list[bool] = []
    model.layers[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(model, datamodule=data)
    assert all(modes)


def test_after_a_loss_that_was_not_finite_a_model_can_be_trained_again(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path)
    good = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="no longer a finite number"):
        trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)
    model.load_state_dict(good)
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)


def test_a_loss_set_on_a_model_counts_outside_a_trainer() -> None:
    model, logits, label = SoftmaxClassifier(features=4, num_classes=2), torch.randn(3, 2), torch.tensor([0, 1, 1])
    plain = model.sample_losses(logits, label)
    model.loss = Loss(class_weights=[1.0, 5.0])
    torch.testing.assert_close(model.sample_losses(logits, label), plain * torch.tensor([1.0, 5.0, 5.0]))


def test_balanced_weights_need_a_data_module_to_count_in(tmp_path: Path) -> None:
    model, data, _ = fitted(tmp_path)
    model.loss = Loss(class_weights="balanced")
    with pytest.raises(UserError, match="give the weights as numbers"):
        trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(model, train_dataloaders=data.train_dataloader())


def test_training_figures_are_means_over_the_samples_of_the_epoch(tmp_path: Path) -> None:
    """A rate of next to nothing: the model stays what it is, so the epoch's figures are those of one pass."""
    model, data, _ = fitted(tmp_path)
    model.optimizer = Optimizer("sgd", lr=1e-12)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    source = data.sources["train"]
    batch = source[np.arange(len(source))]
    with torch.no_grad():
        logits = model.logits(batch)
    assert float(run.callback_metrics["train/loss"]) == pytest.approx(
        float(F.cross_entropy(logits, batch.label)), abs=1e-6
    )
    accuracy = float((logits.argmax(1) == batch.label).double().mean())
    assert float(run.callback_metrics["train/acc"]) == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftmaxClassifier(4, 2, init="zero"), "init is 'zero'; did you mean 'zeros'"),  # type: ignore[arg-type]
        (lambda: SoftmaxClassifier(4, 2, hidden=[0]), "at least 1 neuron"),
        (lambda: HAN(0, 2), "at least 1"),
        (lambda: HAN(9, 2, word_dropout=2.0), "word_dropout is 2.0"),
        (lambda: HAN(9, 2, word_dropout=float("nan")), "word_dropout is nan"),
        (lambda: HAN(9, 2, character_vectors=True), "num_characters is 0"),
        (lambda: HAN(9, 2, attention_size=0), "at least 1"),
        (lambda: LSTMClassifier(9, 2, cell="gruu"), "cell is 'gruu'; it must be one of rnn, lstm, gru"),  # type: ignore[arg-type]
        (lambda: LSTMClassifier(9, 2, direction="bothh"), "direction is 'bothh'"),  # type: ignore[arg-type]
        (lambda: LogisticRegression(4, criterion="mae"), "criterion is 'mae'"),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        make()


@pytest.mark.parametrize("size", [1000, 200, 50])
def test_as_many_samples_are_shown_however_few_batches_there_are(size: int, tmp_path: Path) -> None:
    model = SoftmaxClassifier(features=64, num_classes=10)
    trainer(tmp_path).validate(model, datamodule=Digits(batch_size=size), verbose=False)
    images = [batch.image for batch in model.shown["val"]]
    assert len({image.numpy().tobytes() for image in images}) == 4


# ---------------------------------------------------------------------- subclasses and data sets


class Wide(ConvNet):
    """A subclass as researchers write it: one argument of its own, one decided, all others handed on."""

    def __init__(self, extra: int = 1, **further: Any) -> None:
        super().__init__(layers=["conv 2 3", "relu", "flatten"], **further)
        self.extra = extra


class Deep(Wide):
    def __init__(self, *, depth: int = 1, **rest: Any) -> None:
        super().__init__(**rest)
        self.depth = depth


class HandedOn(Digits):
    def __init__(self, extra: int = 1, **further: Any) -> None:
        super().__init__(classes=[3, 8], **further)


@pytest.mark.parametrize("cls", [Wide, Deep])
def test_a_subclass_that_hands_arguments_on_is_saved_and_loaded(cls: type[Wide], tmp_path: Path) -> None:
    data = HandedOn(batch_size=64)
    model = cls.for_data(data, extra=5, init="orthogonal")
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    run.fit(model, datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    saved = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert saved["datamodule_hyper_parameters"] == {"extra": 1, "batch_size": 64}
    loaded = cls.load_from_checkpoint(tmp_path / "one.ckpt")
    assert (loaded.extra, loaded.hparams["init"], loaded.hparams["num_classes"]) == (5, "orthogonal", 2)
    assert not differing(model.state_dict(), loaded.state_dict())
    changed = cls.load_from_checkpoint(tmp_path / "one.ckpt", extra=7)
    assert changed.extra == 7


def test_data_that_does_not_tell_what_a_model_needs_is_refused() -> None:
    with pytest.raises(UserError, match="Digits does not tell vocabulary_size, which HAN needs"):
        HAN.for_data(Digits())
