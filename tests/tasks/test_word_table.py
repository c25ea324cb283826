from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import pytorch_lightning as pl
import torch

from lightning_nn import HAN, LSTMClassifier, TextData
from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError
from lightning_nn.runs.weights_file import open_weights
from lightning_nn.tasks.word_table import TableKind, WordTable
from tests.cases import text_data, texts
from tests.contract import differing, one_batch, trainer

SIZES = {"embedding_size": 8, "hidden_size": 4}
SMALL = [kind for kind in get_args(TableKind) if kind != "plain"]
NGRAMS = "ngrams"  # with a plain table


def lstm(data: Any, kind: str, **arguments: Any) -> LSTMClassifier:
    embedding = {"ngrams": 3, "ngram_rows": 997} if kind == NGRAMS else {"kind": kind, "times": 1.5}
    return LSTMClassifier.for_data(data, embedding=embedding, **SIZES, **arguments)


class SaveAt(pl.Callback):
    """Saves a checkpoint behind a step."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("kind", [*SMALL, NGRAMS])
def test_a_table_trains_resumes_bit_for_bit_and_predicts_from_the_checkpoint(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    middle, end = tmp_path / "middle.ckpt", tmp_path / "end.ckpt"
    data = text_data(tmp_path)
    whole = lstm(data, kind)
    run = trainer(tmp_path, max_epochs=2, callbacks=[StepSeed(0), SaveAt(7, middle)])
    run.fit(whole, datamodule=data)
    run.save_checkpoint(end)
    data = text_data(tmp_path)
    resumed = lstm(data, kind)
    trainer(tmp_path, max_epochs=2).fit(resumed, datamodule=data, ckpt_path=str(middle))
    assert differing(whole.state_dict(), resumed.state_dict()) == []
    loaded = LSTMClassifier.load_from_checkpoint(end)
    assert WordTable.of(loaded.hparams["embedding"]) == WordTable.of(whole.hparams["embedding"])
    assert loaded.predict(texts(4)[0]) == whole.eval().predict(texts(4)[0])


@pytest.mark.parametrize("kind", SMALL)
def test_every_parameter_gets_a_gradient_and_the_start_of_a_run_shows_what_is_saved(kind: str, tmp_path: Path) -> None:
    data = text_data(tmp_path)
    batch = one_batch(data)
    model = HAN.for_data(data, **SIZES, embedding={"kind": kind, "times": 1.5}, dropout=0.0)
    model.processor = data.processor
    means = model.training_means(batch)
    means.sums["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    header, plain, small = model.summary()
    assert header[0] == "word vectors" and plain[0] == "plain" and small[0].startswith(kind)
    assert float(small[3]) == pytest.approx(int(plain[2].replace(",", "")) / int(small[2].replace(",", "")), abs=0.05)


def test_a_plain_table_needs_no_words_about_it() -> None:
    assert HAN(9, 2, **SIZES).summary() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "hash"}, "embedding.kind is 'hash'; did you mean 'hashed'?"),
        ({"kind": "hashed", "times": 1.0}, "times is 1.0; it must be above 1"),
        ({"kind": "coded", "parts": 4}, "parts and --model.embedding.centroids go together"),
        ({"kind": "hashed", "parts": 4, "centroids": 4}, "parts is 4, but a hashed table has none"),
        ({"ngrams": 0}, "embedding.ngrams is 0; it must be at least 1"),
        ({"ngrams": 2, "ngram_rows": 0}, "ngram_rows is 0; it must be at least 1"),
        ({"ngrams": 2, "ngram_dropout": 2.0}, "ngram_dropout is 2.0; it must be 0 to 1"),
        ({"kind": "product_quantised", "norms": True, "size": 1}, "has no option 'size'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WordTable.of(options)


def test_rare_words_need_characters() -> None:
    with pytest.raises(ValueError, match="num_characters is 0"):
        HAN(90, 2, embedding={"kind": "frequent", "times": 4})


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("factorised", []),
        ("hashed", ["embedding.table.buckets.weight"]),
        ("quotient_remainder", ["embedding.table.quotient.weight", "embedding.table.remainder.weight"]),
        ("product_quantised", []),
        ("coded", []),
        ("frequent", ["embedding.table.rows.weight"]),
    ],
)
def test_rows_go_to_the_same_word_of_another_vocabulary_or_nowhere(kind: str, left: list[str], tmp_path: Path) -> None:
    """Rows that several words share by their ids mean nothing in another vocabulary."""
    torch.manual_seed(0)
    data = text_data(tmp_path)
    model = lstm(data, kind)
    run = trainer(tmp_path, max_steps=1)
    run.fit(model, datamodule=data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    vocabulary = TextVocabulary("chars", max_size=40)
    other_data = TextData(path=str(tmp_path / "documents.tsv"), vocabulary=vocabulary)
    other_data.prepare_once()
    words = other_data.processor.row_labels()["words"]
    assert len(words) == 40 < len(data.processor.row_labels()["words"])  # type: ignore[union-attr]
    options = {"kind": kind, "times": 1.5}
    if kind in ("product_quantised", "coded"):
        parts, centroids, _ = model.embedding.table.centroids.shape
        options = {"kind": kind, "parts": parts, "centroids": centroids}
    other = LSTMClassifier.for_data(other_data, embedding=options, **SIZES)
    _, kept = other.load_weights(open_weights(tmp_path / "model.ckpt"), other_data.processor)
    assert [name for name in kept if "table" in name] == left
    if not left:
        places = [data.processor.row_labels()["words"].index(word) for word in words]  # type: ignore[union-attr]
        vectors = other.embedding.table(torch.arange(len(words)))
        assert torch.equal(vectors, model.embedding.table(torch.tensor(places)))


def test_n_grams_keep_their_rows_in_another_vocabulary(tmp_path: Path) -> None:
    data = text_data(tmp_path)
    model = lstm(data, NGRAMS)
    run = trainer(tmp_path, max_steps=1)
    run.fit(model, datamodule=data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    other_data = TextData(path=str(tmp_path / "documents.tsv"), vocabulary=TextVocabulary("chars", max_size=40))
    other_data.prepare_once()
    other = lstm(other_data, NGRAMS)
    other.processor = other_data.processor
    loaded, _ = other.load_weights(open_weights(tmp_path / "model.ckpt"), other_data.processor)
    assert model.embedding.ngrams is not None and other.embedding.ngrams is not None
    assert any(table is model.embedding.ngrams.table for table in model.tables())  # updated row by row
    assert "embedding.ngrams.table.weight" in loaded and model.embedding.ngrams.table.weight.any()
    codes = dict(zip(data.processor.row_labels()["words"], model.embedding.ngrams.codes.tolist(), strict=True))  # type: ignore[union-attr]
    words = other_data.processor.row_labels()["words"]
    assert other.embedding.ngrams.codes.tolist() == [codes[word] for word in words]


@pytest.mark.parametrize("kind", [HAN, LSTMClassifier])
def test_with_n_grams_a_prediction_depends_on_its_own_text_only(kind: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = text_data(tmp_path)
    model = kind.for_data(data, embedding={"ngrams": 3, "ngram_rows": 997}, **SIZES).eval()
    model.processor = data.processor
    torch.nn.init.normal_(model.embedding.ngrams.table.weight)
    inputs = texts(5)[0]
    batch = data.processor.encode(inputs)
    alone = torch.cat([model(data.processor.encode([text])) for text in inputs])
    torch.testing.assert_close(model(batch), alone)
