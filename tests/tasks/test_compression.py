from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nn import LSTMClassifier
from lightning_nn.data.batches import TextBatch
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.errors import UserError
from lightning_nn.tasks.compression import Plan, compress_into, deployed_bytes, effects, plan
from tests.cases import text_data, texts

SIZES: dict[str, Any] = {"embedding_size": 32, "hidden_size": 1}


@pytest.fixture(params=[True])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> LSTMClassifier:
    torch.manual_seed(0)
    data = text_data(tmp_path)
    model = LSTMClassifier.for_data(data, **SIZES, character_vectors=request.param)
    model.processor = data.processor
    return model.eval()


def words_of(model: LSTMClassifier) -> list[str]:
    return model.require_processor().row_labels()["words"]


def half_bytes(model: LSTMClassifier) -> int:
    """Count what `deployed_bytes` does, with weights of two bytes, as a plan for 16 bits does."""
    weights = sum(weight.numel() for weight in model.state_dict().values() if weight.is_floating_point())
    return deployed_bytes(model, words_of(model)) - 2 * weights


def compressed(model: LSTMClassifier, kept: Plan, ngrams: dict[str, Any] | None = None) -> LSTMClassifier:
    processor = model.require_processor()
    assert isinstance(processor, TextProcessor)
    words = words_of(model)
    other = TextProcessor(**{**processor.state_dict(), "words": [words[i] for i in kept.words]})
    table = {"kind": "coded", "parts": kept.parts, "centroids": kept.centroids, "norms": True, **(ngrams or {})}
    sizes = {"vocabulary_size": len(kept.words), "num_characters": len(other.vocabulary.characters)}
    small = LSTMClassifier(**{**model.hparams, **sizes, "embedding": table})
    small.processor = other
    place = {character: i for i, character in enumerate(processor.vocabulary.characters)}
    compress_into(small, model, kept, torch.tensor([place[each] for each in other.vocabulary.characters]))
    return small.eval()


def test_with_all_words_and_exact_codes_predictions_stay(model: LSTMClassifier) -> None:
    small = compressed(model, Plan(list(range(len(words_of(model)))), 8, 256))
    for one, other in zip(small.predict(texts(9)[0]), model.predict(texts(9)[0]), strict=True):
        assert one[0] == other[0] and one[1] == pytest.approx(other[1], abs=1e-5)


def test_n_grams_of_the_words_that_are_kept_stay(tmp_path: Path) -> None:
    data = text_data(tmp_path)
    ngrams = {"ngrams": 2, "ngram_rows": 997}
    model = LSTMClassifier.for_data(data, **SIZES, embedding=ngrams).eval()
    model.processor = data.processor
    assert model.embedding.ngrams is not None
    torch.nn.init.normal_(model.embedding.ngrams.table.weight)
    words = words_of(model)
    small = compressed(model, Plan([i for i in range(len(words)) if i != 5], 8, 256), ngrams)
    text = words[6] + words[7]
    assert small.predict([text])[0][1] == pytest.approx(model.predict([text])[0][1], abs=1e-4)


def test_a_word_that_is_left_out_is_the_unknown_one(model: LSTMClassifier) -> None:
    words = words_of(model)
    small = compressed(model, Plan([i for i in range(len(words)) if i != 5], 8, 256))
    assert small.predict([words[5]])[0][1] == pytest.approx(model.predict(["龘"])[0][1], abs=1e-5)
    assert small.predict([words[6]])[0][1] == pytest.approx(model.predict([words[6]])[0][1], abs=1e-5)


@pytest.mark.parametrize("model", [False], indirect=True)
@pytest.mark.parametrize("share", [0.35, 0.4, 0.6])
def test_a_plan_keeps_to_its_size_and_nearly_reaches_it(model: LSTMClassifier, share: float) -> None:
    words = words_of(model)
    size = int(share * half_bytes(model))
    kept = plan(model, words, torch.ones(len(words)), size, 16)
    small = compressed(model, kept)
    assert kept.words[0] == 0 and half_bytes(small) <= size
    if len(kept.words) < len(words):
        assert half_bytes(small) > 0.8 * size


@pytest.mark.parametrize("model", [False], indirect=True)
def test_words_of_the_least_effect_go_first(model: LSTMClassifier) -> None:
    words = words_of(model)
    effect = torch.arange(len(words), dtype=torch.float32)
    effect[[4, 9]] = 0
    plans = [plan(model, words, effect, size, 16).words for size in range(1400, 1900, 20)]
    assert any(2 < len(kept) <= len(words) - 3 for kept in plans)
    for kept in plans:
        left_out = sorted(set(range(len(words))) - {*kept})
        assert 0 in kept and left_out == sorted([4, 9, 1, 2, 3, 5, 6, 7, 8, *range(10, len(words))][: len(left_out)])


def test_an_effect_is_that_on_the_prediction(model: LSTMClassifier) -> None:
    """Of a word like the unknown one it is zero, as of a word that does not occur."""
    document = TextBatch(torch.tensor([1]), torch.tensor([2]), torch.tensor([5, 0]))
    with torch.no_grad():
        known, unknown = (model(document._replace(words=torch.tensor([i, 0]))).log_softmax(1)[0] for i in (5, 0))
    effect = effects(model, [document])
    assert float(effect[5]) == pytest.approx(abs(float((known - unknown)[known.argmax()])), rel=0.1)
    assert effect.nonzero().flatten().tolist() == [5]
    assert torch.equal(effects(model, [document, document]), 2 * effect)
    with torch.no_grad():
        model.embedding.table.weight[5] = model.embedding.table.weight[0]
    model.embedding.word_characters[5] = 0
    assert not effects(model, [document]).any()


def test_a_network_that_is_too_large_is_refused(model: LSTMClassifier) -> None:
    with pytest.raises(UserError, match=r"the network without word vectors has .* bytes of 2,000"):
        plan(model, words_of(model), torch.ones(len(words_of(model))), 2000, 16)
