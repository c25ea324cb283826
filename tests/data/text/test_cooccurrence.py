from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_nn import LSTMClassifier
from lightning_nn.data.text.cooccurrence import cooccurrences, positive_pmi
from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))


def data_of(folder: Path, train: list[str], others: str = "zz zz", **options: object) -> TextData:
    folder.mkdir(exist_ok=True)
    for split, texts in (("train", train), ("val", [others] * 2), ("test", [others] * 2)):
        rows = "".join(f"{text}\t{'ab'[i % 2]}\n" for i, text in enumerate(texts))
        (folder / f"{split}.tsv").write_text(rows, encoding="utf-8")
    vocabulary = TextVocabulary("words", min_count=2)
    data = TextData(str(folder), vocabulary=vocabulary, **options)  # type: ignore[arg-type]
    data.prepare_once()
    return data


TRAIN = ["cat purrs. cat sleeps softly", "dog barks. dog sleeps softly", "cat purrs once", "dog barks. cat sleeps"]


def test_pairs_are_counted_within_sentences_of_train_alone(tmp_path: Path) -> None:
    data = data_of(tmp_path / "data", TRAIN, "cat barks cat barks", pretrain=2)
    words = data.processor.vocabulary.words
    counts = cooccurrences(data.sources["train"], len(words), 1).toarray()
    expected = np.zeros((len(words), len(words)))
    for text in TRAIN:
        for sentence in text.split(". "):
            tokens = [words.index(word) if word in words else 0 for word in sentence.split()]
            for left, right in itertools.pairwise(tokens):
                if left and right:
                    expected[left, right] += 1
                    expected[right, left] += 1
    full_stop = words.index(".") if "." in words else None
    kept = [i for i in range(len(words)) if i != full_stop]
    np.testing.assert_array_equal(counts[np.ix_(kept, kept)], expected[np.ix_(kept, kept)])
    assert not counts[0].any() and counts[words.index("cat"), words.index("barks")] == 0, "as in val"
    wider = cooccurrences(data.sources["train"], len(words), 2).toarray()
    assert wider[words.index("cat"), words.index("softly")] == 1


def test_information_is_that_of_the_paper(tmp_path: Path) -> None:
    data = data_of(tmp_path / "data", TRAIN, pretrain=2)
    assert data.word_vectors is not None
    counts = data.word_vectors.counts.toarray()
    of_word = counts.sum(1)
    smoothed = of_word**0.75 / (of_word**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(np.maximum(0, np.log(counts / (of_word[:, None] * smoothed))), neginf=0)
    matrix = positive_pmi(data.word_vectors.counts).toarray()
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
    vectors = data.word_vectors.vectors(len(of_word)).astype(np.float64)
    _, singular, _ = np.linalg.svd(matrix)
    np.testing.assert_allclose(vectors.T @ vectors, np.diag(singular), atol=1e-4)


def test_words_of_like_neighbours_are_alike_and_a_model_begins_with_them(tmp_path: Path) -> None:
    rows = [f"{animal} {verb} today" for animal, verb in (("cat", "purrs"), ("tiger", "purrs"), ("dog", "barks"))] * 4
    data = data_of(tmp_path / "data", rows, pretrain=1)
    words = data.processor.vocabulary.words
    assert f"vectors of {len(words) - 1} of {len(words) - 1} words (100.0% of train's text) begin" in "".join(
        data.notes
    )
    torch.manual_seed(0)
    model = LSTMClassifier.for_data(data, embedding_size=4, hidden_size=2)
    vectors = model.embedding.table.weight.detach()
    cat, tiger, dog = (vectors[words.index(word)] for word in ("cat", "tiger", "dog"))
    assert torch.cosine_similarity(cat, tiger, 0) > 0.99 > 0.9 > torch.cosine_similarity(cat, dog, 0)
    assert float(vectors[1:].square().mean().sqrt()) == pytest.approx(0.1, rel=0.01)
    again = LSTMClassifier.for_data(data, embedding_size=4, hidden_size=2).embedding.table.weight.detach()
    assert torch.equal(vectors[1:], again[1:]) and not torch.equal(vectors[0], again[0]), "the unknown word is random"


def test_a_trained_model_needs_no_vectors(tmp_path: Path) -> None:
    first = data_of(tmp_path / "data", TRAIN, pretrain=2)
    data = TextData(str(tmp_path / "data"), vocabulary=first.vocabulary, pretrain=2)
    data.use_processor(first.processor)
    data.prepare_once()
    assert data.word_vectors is None


def test_what_can_not_be_pretrained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pretrain is -1"):
        TextData(pretrain=-1)
    with pytest.raises(UserError, match="no known word stands beside another"):
        data_of(tmp_path / "rare", [f"cat rare{number}" for number in range(8)], pretrain=5)
    data = data_of(tmp_path / "data", TRAIN * 9, pretrain=2)
    with pytest.raises(UserError, match="needs a row for each word"):
        LSTMClassifier.for_data(data, embedding_size=8, embedding={"kind": "factorised", "times": 1.5})
