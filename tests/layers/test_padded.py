"""Padded layers: the same as the flat ones, whatever stands in the padding."""

from __future__ import annotations

from itertools import product
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nn import HAN, LSTMClassifier, TextBatch
from lightning_nn.layers.padded import PaddedRNN, pad
from lightning_nn.layers.recurrent import Cell, Direction, FlatRNN
from lightning_nn.tasks.padded_text import PaddedClassifier
from lightning_nn.tasks.text_classification import TextClassifier
from lightning_nn.tasks.word_table import WordTable

SIZES: dict[str, Any] = {"vocabulary_size": 40, "num_classes": 3, "embedding_size": 6, "hidden_size": 4}
MODELS: list[TextClassifier] = [HAN(**SIZES, attention_size=5).eval()]
MODELS += [
    LSTMClassifier(
        **SIZES, cell=cast(Cell, cell), direction=cast(Direction, direction), layers=layers, pooling=pooling
    ).eval()
    for (cell, layers), (direction, pooling) in product(
        [("rnn", 1), ("lstm", 2), ("gru", 1)],
        [("forward", ["last", "mean"]), ("backward", ["last"]), ("both", ["last", "max", "attention"])],
    )
]

documents = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=5)


def batch_of(lengths: list[list[int]], vocabulary: int = 40) -> TextBatch:
    """Return documents of random words, by the lengths of their sentences."""
    sentences = [length for document in lengths for length in document]
    words = torch.randint(vocabulary, (sum(sentences),))
    return TextBatch(torch.tensor([len(d) for d in lengths]), torch.tensor(sentences), words)


@settings(max_examples=25, deadline=None)
@given(documents, st.sampled_from(range(len(MODELS))))
def test_a_padded_batch_gives_the_logits_of_the_flat_one(lengths: list[list[int]], which: int) -> None:
    model = MODELS[which]
    padded, batch = model.padded(), batch_of(lengths)
    words, counts = padded.pad(batch)
    torch.testing.assert_close(padded(words, counts), model(batch), atol=1e-5, rtol=1e-5)
    wider = torch.nn.functional.pad(words, (0, 3), value=7)  # whatever stands there
    torch.testing.assert_close(padded(wider, counts), model(batch), atol=1e-5, rtol=1e-5)


def test_documents_of_fewer_sentences_are_padded_behind_them() -> None:
    words, lengths = MODELS[0].padded().pad(batch_of([[2, 1], [3]]))
    assert words.shape == (2, 2, 3) and lengths.tolist() == [[2, 1], [3, 0]]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_the_last_state_is_that_of_each_direction(direction: Direction) -> None:
    flat, lengths = FlatRNN(3, 2, "gru", direction), torch.tensor([3, 1, 2])
    rows, padded = torch.randn(6, 3), PaddedRNN(flat)
    states = padded(pad(rows, lengths), lengths)
    torch.testing.assert_close(padded.last(states, lengths), flat.last(flat(rows, lengths), lengths))


def spelled(model: TextClassifier) -> TextClassifier:
    words = ["<unk>", *(chr(97 + i % 26) * (1 + i // 26) + "z" for i in range(39))]
    characters = list(dict.fromkeys(["", *"".join(words[1:])]))
    model.embedding.set_words(words, characters)
    return model.eval()


@pytest.mark.parametrize(
    "kind", ["plain", "factorised", "hashed", "quotient_remainder", "product_quantised", "coded", "frequent"]
)
def test_every_table_of_words_and_their_characters(kind: Any) -> None:
    small = {**SIZES, "vocabulary_size": 40, "embedding_size": 32}
    model = spelled(
        HAN(**small, attention_size=5, character_vectors=True, num_characters=27, embedding=WordTable(kind, 2))
    )
    padded, batch = model.padded(), batch_of([[3, 2], [4]])
    assert isinstance(padded, PaddedClassifier)
    torch.testing.assert_close(padded(*padded.pad(batch)), model(batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [LSTMClassifier, HAN])
def test_ngrams_are_another_input_and_end_with_their_sentences(kind: Any) -> None:
    model = spelled(kind(**SIZES, embedding=WordTable(ngrams=3, ngram_rows=8)))
    torch.nn.init.normal_(model.embedding.ngrams.table.weight)
    padded, batch = model.padded(), batch_of([[3, 2], [4], [1, 1, 2]])
    inputs = padded.pad(batch)
    assert list(padded.axes) == ["words", "lengths", "ngrams"] and inputs[2].shape == (*inputs[0].shape, 2)
    torch.testing.assert_close(padded(*inputs), model(batch))
    assert not torch.allclose(padded(*inputs[:2], torch.zeros_like(inputs[2])), model(batch), atol=1e-3)
