from __future__ import annotations

import math

import pytest
import torch

from lightning_nn.layers.embedding import WordEmbedding

WORDS = torch.arange(1, 10_001)


def replaced(layer: WordEmbedding) -> float:
    """Share of words that came out as the unknown one."""
    return float((layer(WORDS) == layer.table.weight[0]).all(1).float().mean())


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_words_are_taken_for_the_unknown_one_at_the_rate_asked_for(rate: float) -> None:
    layer = WordEmbedding(len(WORDS) + 1, 4, word_dropout=rate)
    deviation = math.sqrt(rate * (1 - rate) / len(WORDS))
    assert abs(replaced(layer) - rate) <= 5 * deviation


def test_a_kept_word_keeps_its_vector() -> None:
    layer = WordEmbedding(len(WORDS) + 1, 4, word_dropout=0.3)
    vectors = layer(WORDS)
    kept = (vectors != layer.table.weight[0]).any(1)
    assert torch.equal(vectors[kept], layer.table(WORDS)[kept])


def test_nothing_is_dropped_in_evaluation() -> None:
    layer = WordEmbedding(len(WORDS) + 1, 4, word_dropout=0.5, dropout=0.5).eval()
    assert torch.equal(layer(WORDS), layer.table.weight[1:])


def test_the_unknown_word_learns_from_dropped_words_only() -> None:
    learned = {}
    for rate in (0.0, 0.5):
        layer = WordEmbedding(101, 4, word_dropout=rate)
        layer(WORDS[:100]).sum().backward()
        assert layer.table.weight.grad is not None
        learned[rate] = float(layer.table.weight.grad[0].abs().sum())
    assert learned[0.0] == 0.0 < learned[0.5], learned
