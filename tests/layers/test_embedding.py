from __future__ import annotations

import math

import pytest
import torch

from lightning_nn.layers.embedding import MAX_CHARACTERS, WordEmbedding
from lightning_nn.layers.ngrams import NGrams

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


def test_each_distinct_word_is_computed_once() -> None:
    layer = WordEmbedding(9, 5).eval()
    words = torch.tensor([3, 1, 3, 8, 1, 3])
    vectors, rows = layer.distinct(words)
    assert vectors.shape == (3, 5) and rows.shape == words.shape
    assert torch.equal(vectors[rows], layer.table(words)) and torch.equal(layer(words), layer.table(words))
    grid = words.view(2, 3)
    assert torch.equal(layer(grid), layer.table(grid))


def test_all_occurrences_of_a_word_lose_the_same_values() -> None:
    torch.manual_seed(0)
    layer = WordEmbedding(9, 400, dropout=0.5).train()
    first, again, other = layer(torch.tensor([3, 3, 4])) != 0
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, layer(torch.tensor([3]))[0] != 0)  # another batch, another mask


def test_words_have_a_row_each_while_torch_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    layer, words = WordEmbedding(9, 5).eval(), torch.tensor([3, 1, 3])
    vectors, rows = layer.distinct(words)
    assert torch.equal(vectors, layer.table(words)) and rows.tolist() == [0, 1, 2]


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


def spelled() -> WordEmbedding:
    """Four words: the unknown one, one of the characters 1 and 2, one of 2 alone, and one of none."""
    layer = WordEmbedding(4, 3, num_characters=3)
    layer.set_words(["<unk>", "ab", "b", ""], ["", "a", "b"])
    return layer


def test_a_word_is_its_own_vector_and_the_mean_of_its_characters() -> None:
    layer = spelled()
    assert layer.characters is not None
    own, characters = layer.table.weight, layer.characters.weight
    expected = torch.stack([own[1] + (characters[1] + characters[2]) / 2, own[2] + characters[2], own[3], own[0]])
    torch.testing.assert_close(layer(torch.tensor([1, 2, 3, 0])), expected)


def test_a_dropped_word_takes_its_characters_along() -> None:
    layer = spelled()
    layer.word_dropout.p = 1.0
    torch.testing.assert_close(layer(torch.tensor([1, 2])), layer.table.weight[[0, 0]])


def test_characters_learn_and_no_character_does_not() -> None:
    layer = spelled()
    layer(torch.tensor([1, 3])).sum().backward()
    assert layer.characters is not None and layer.characters.weight.grad is not None
    assert layer.characters.weight.grad.abs().sum(1).gt(0).tolist() == [False, True, True]


def test_spelling_travels_with_the_weights() -> None:
    layer, other = spelled(), WordEmbedding(4, 3, num_characters=3)
    other.load_state_dict(layer.state_dict())
    words = torch.arange(4)
    assert torch.equal(layer(words), other(words))


def test_only_the_first_characters_of_a_word_count() -> None:
    layer = WordEmbedding(2, 3, num_characters=3)
    layer.set_words(["<unk>", "a" * MAX_CHARACTERS + "b"], ["", "a", "b"])
    assert layer.word_characters[1].tolist() == [1] * MAX_CHARACTERS


def test_what_is_not_spelled_or_not_so_is_refused() -> None:
    with pytest.raises(ValueError, match="num_characters is 0"):
        WordEmbedding(4, 3, num_characters=0)
    layer = WordEmbedding(2, 3, num_characters=3)
    with pytest.raises(RuntimeError, match="no spelling yet"):
        layer(torch.tensor([1]))
    with pytest.raises(ValueError, match="made for 2 words of 3 characters, not for 3 of 2"):
        layer.set_words(["<unk>", "a", "b"], ["", "a"])
    with pytest.raises(ValueError, match="the character 'c'"):
        layer.set_words(["<unk>", "c"], ["", "a", "b"])
    WordEmbedding(2, 3).set_words(["<unk>", "c"], [])  # of no interest


def test_the_vectors_of_n_grams_are_added_where_they_begin_and_stay_within_their_sequence() -> None:
    ngrams = NGrams(4, 3, longest=2, rows=97)
    torch.nn.init.normal_(ngrams.table.weight)
    layer = WordEmbedding(4, 3, ngrams=ngrams)
    words = torch.tensor([1, 2, 1, 2])
    with pytest.raises(RuntimeError, match="no spelling yet"):
        layer(words)
    layer.set_words(["<unk>", "a", "b", "c"], [])
    vectors, rows = layer.distinct(words, torch.tensor([3, 1]))
    assert rows.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(vectors, layer.table(words) + ngrams(words, torch.tensor([3, 1])))
    assert not torch.equal(vectors[1], vectors[3])  # the same word, one before another, one at the end
    torch.testing.assert_close(layer(words, torch.tensor([3, 1])), vectors)
