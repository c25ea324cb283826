from __future__ import annotations

import zlib

import pytest
import torch

from lightning_nn.layers.ngram_hash import ngram_rows, word_code
from lightning_nn.layers.ngrams import NGrams

WORDS = ["<unk>", "北", "京", "队", "赢"]


def made(longest: int = 3, rows: int = 1009, words: list[str] = WORDS, **options: float) -> NGrams:
    layer = NGrams(len(words), 4, longest, rows, **options)
    layer.set_words(words)
    return layer


def hashed(ngram: list[str], rows: int) -> int:
    """Compute the row of an n-gram word by word; "" is behind the end."""
    value = 0
    for word in ngram:
        code = zlib.crc32(word.encode()) % (2**31 - 2) + 1 if word else 0
        value = (value * 1_000_003 + code) % (2**31 - 1)
    return value % rows


def test_rows_are_the_hashes_of_the_n_grams_within_each_sequence() -> None:
    rows = made().rows(torch.tensor([1, 2, 3, 4]), torch.tensor([3, 1]))
    expected = [[["北", "京"], ["北", "京", "队"]], [["京", "队"], ["京", "队", ""]]]
    expected += [[["队", ""], ["队", "", ""]], [["赢", ""], ["赢", "", ""]]]
    assert rows.tolist() == [[hashed(ngram, 1009) for ngram in ngrams] for ngrams in expected]


def test_rows_without_torch_are_the_same() -> None:
    layer, words = made(longest=4, rows=97), [1, 4, 2, 2, 3]
    expected = layer.rows(torch.tensor(words), torch.tensor([5])).tolist()
    assert ngram_rows([word_code(WORDS[i]) for i in words], 4, 97) == expected
    assert ngram_rows([word_code(WORDS[i]) for i in words], 1, 97) == [[]] * 5


def test_an_n_gram_has_the_same_row_in_another_vocabulary() -> None:
    other = made(words=["<unk>", "赢", "队", "京", "北"])
    lengths = torch.tensor([4])
    assert torch.equal(
        made().rows(torch.tensor([1, 2, 3, 4]), lengths), other.rows(torch.tensor([4, 3, 2, 1]), lengths)
    )


def test_vectors_begin_at_zero_and_add_up() -> None:
    layer, words, lengths = made(), torch.tensor([1, 2, 1]), torch.tensor([3])
    assert not layer(words, lengths).any()
    torch.nn.init.normal_(layer.table.weight)
    rows = layer.rows(words, lengths)
    torch.testing.assert_close(layer(words, lengths), layer.table.weight[rows[:, 0]] + layer.table.weight[rows[:, 1]])


def test_an_n_gram_is_left_out_as_a_whole_in_training_only() -> None:
    torch.manual_seed(0)
    layer, words, lengths = made(longest=2, dropout=0.25), torch.ones(4000, dtype=torch.int64), torch.tensor([4000])
    torch.nn.init.ones_(layer.table.weight)
    vectors = layer(words, lengths)
    assert torch.equal(vectors, vectors[:, :1].expand_as(vectors))
    assert float((vectors[:, 0] == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(vectors.detach().mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(layer.eval()(words, lengths), torch.ones(4000, 4))


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="up to 1 words"):
        NGrams(3, 4, 1, 9)
    with pytest.raises(ValueError, match="0 rows"):
        NGrams(3, 4, 2, 0)
    with pytest.raises(ValueError, match="dropout of n-grams"):
        NGrams(3, 4, 2, 9, dropout=1.5)
