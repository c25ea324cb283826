from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.small_embedding import (
    TABLES,
    CodedTable,
    FactorisedTable,
    FrequentTable,
    HashedTable,
    ProductQuantisedTable,
    QuotientRemainderTable,
    SmallTable,
    code_sizes,
)

V, E = 50, 8


def tables() -> list[SmallTable]:
    torch.manual_seed(0)
    return [
        FactorisedTable(V, E, 3),
        HashedTable(V, E, 7),
        QuotientRemainderTable(V, E, 9),
        ProductQuantisedTable(V, E, 4, 5),
        CodedTable(V, E, 4, 5, norms=True),
        FrequentTable(V, E, 10),
    ]


def by_hand(table: Any, word: int) -> Tensor:
    """The equation of each class, for one word."""
    if isinstance(table, FactorisedTable):
        return table.projection.weight @ table.words.weight[word]
    if isinstance(table, HashedTable):
        a, b = table.get_buffer("coefficients").tolist()
        buckets = [(a[i] * word + b[i]) % (2**31 - 1) % 7 for i in range(2)]
        return sum((table.weights.weight[word, i] * table.buckets.weight[buckets[i]] for i in range(2)), torch.zeros(E))
    if isinstance(table, QuotientRemainderTable):
        return table.quotient.weight[word // 9] * table.remainder.weight[word % 9]
    if isinstance(table, FrequentTable):
        return table.rows.weight[word if word < 10 else 10]
    vector = []
    for part in range(4):
        if isinstance(table, ProductQuantisedTable):
            query = table.queries.weight[word, 2 * part : 2 * part + 2]
            code = int(torch.stack([query @ key for key in table.keys[part]]).argmax())
        else:
            code = int(table.codes[word, part])
        vector.append(table.centroids[part, code])
    norm = table.norms[int(table.norm_codes[word])] if getattr(table, "norms", None) is not None else 1.0
    return torch.cat(vector) * norm


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.kind)
def test_vectors_are_those_of_the_equation_also_of_the_unknown_word_and_repeated_ones(table: SmallTable) -> None:
    words = torch.tensor([0, 3, 3, V - 1, 12, 0])
    torch.testing.assert_close(table(words), torch.stack([by_hand(table, word) for word in words.tolist()]))


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.kind)
def test_each_parameter_gets_a_gradient(table: SmallTable) -> None:
    words = torch.arange(V)
    (table(words) * torch.randn(V, E)).sum().backward()
    assert [name for name, p in table.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    "table", [t for t in tables() if not isinstance(t, ProductQuantisedTable)], ids=lambda table: table.kind
)
def test_gradients_are_those_of_the_equation(table: SmallTable) -> None:
    words, weights = torch.tensor([0, 3, 3, V - 1]), torch.randn(4, E)
    parameters = list(table.parameters())
    by_equation = (torch.stack([by_hand(table, word) for word in words.tolist()]) * weights).sum()
    expected = torch.autograd.grad(by_equation, parameters)
    torch.testing.assert_close(torch.autograd.grad((table(words) * weights).sum(), parameters), expected)


def test_the_gradient_of_a_picked_value_is_that_of_the_softmax() -> None:
    """Chen, Li, Sun 2020, section 2.3: one-hot codes forward, their softmax backward."""
    torch.manual_seed(0)
    table, words = ProductQuantisedTable(V, E, 4, 5), torch.tensor([4, 0, 4])
    soft = table.scores(words).softmax(2)
    hard = nn.functional.one_hot(soft.argmax(2), 5).float()
    codes = hard + soft - soft.detach()
    expected = torch.einsum("wdk,dks->wds", codes, table.centroids).flatten(1)
    weights, parameters = torch.randn(3, E), list(table.parameters())
    gradients = torch.autograd.grad((table(words) * weights).sum(), parameters)
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * weights).sum(), parameters))


def test_learned_codes_are_kept_when_the_queries_go() -> None:
    torch.manual_seed(0)
    table, words = ProductQuantisedTable(V, E, 4, 5), torch.arange(V)
    coded = table.coded()
    assert torch.equal(coded(words), table(words))
    assert coded.deployed_bytes == table.deployed_bytes == V * 4 + 4 * 5 * E


def test_a_product_of_rows_is_another_for_each_word() -> None:
    table = QuotientRemainderTable(V, E, 9)
    assert len({tuple(row) for row in table(torch.arange(V)).tolist()}) == V


def test_words_that_share_all_buckets_differ_by_their_weights() -> None:
    torch.manual_seed(0)
    table, words = HashedTable(V, E, 2), torch.arange(V)
    buckets = [tuple(pair) for pair in table.bucket(words).tolist()]
    assert len(set(buckets)) <= 4 < V, "they collide"
    assert len({tuple(row) for row in table(words).tolist()}) == V


def test_hash_functions_are_the_same_in_each_process_and_spread_words() -> None:
    """Fixed numbers: a table of another run would be of no use if they changed."""
    buckets = HashedTable(1000, 1, 10).bucket(torch.arange(1000))
    assert buckets[:3].tolist() == HashedTable(5, 1, 10).bucket(torch.arange(3)).tolist()
    assert buckets.flatten().bincount(minlength=10).min() > 120, "of 200 each"


def test_rare_words_are_their_characters() -> None:
    layer = WordEmbedding(4, 3, num_characters=3, table=FrequentTable(4, 3, 2))
    layer.set_words(["<unk>", "ab", "a", "b"], ["", "a", "b"])
    assert layer.characters is not None
    shared, characters = layer.table.rows.weight[2], layer.characters.weight  # type: ignore[union-attr,index]
    expected = torch.stack([shared + characters[1], shared + characters[2]])
    torch.testing.assert_close(layer(torch.tensor([2, 3])), expected)


@given(
    st.sampled_from([kind for kind in TABLES if kind != "coded"]),
    st.integers(2_000, 90_000),
    st.sampled_from([64, 100, 200]),
    st.floats(1.5, 64),
)
def test_a_table_is_as_small_as_asked_for_and_hardly_smaller(kind: str, words: int, size: int, times: float) -> None:
    with torch.device("meta"):
        try:
            table = deployed(kind, words, size, times)
        except ValueError as error:
            assert "lower --model.embedding.times" in str(error)
            return
    found = 4 * words * size / table
    assert found >= times * (1 - 1e-9)
    if kind not in ("product_quantised", "quotient_remainder"):  # whose numbers are coarse
        assert found <= 2 * times + 1


def deployed(kind: str, words: int, size: int, times: float) -> int:
    table = TABLES[kind]
    if kind != "hashed":
        return table.sized(words, size, times).deployed_bytes
    buckets = int((words * size / times - 2 * words) / size)  # its hash functions are drawn, which "meta" can't
    if buckets < 2:
        raise ValueError("lower --model.embedding.times")
    return 4 * (2 * words + buckets * size)


@pytest.mark.parametrize("kind", list(TABLES))
def test_what_can_not_become_so_small_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"a {kind} table can't be 1000 times smaller than 500 words of 8 values"):
        TABLES[kind].sized(500, 8, 1000)


@pytest.mark.parametrize(
    ("words", "size", "times", "sizes"),
    [(71_606, 200, 16, (40, 256)), (71_606, 200, 64, (8, 256)), (2_000, 200, 16, (25, 32)), (100, 8, 500, (0, 0))],
)
def test_codes_take_what_centroids_leave(words: int, size: int, times: float, sizes: tuple[int, int]) -> None:
    assert code_sizes(words, size, times) == sizes


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="3 parts of 5 centroids: parts must divide 8"):
        ProductQuantisedTable(V, E, 3, 5)
    with pytest.raises(ValueError, match="4 parts of 257 centroids"):
        CodedTable(V, E, 4, 257)
    with pytest.raises(ValueError, match="a table of 0 words"):
        FrequentTable(0, E, 1)


def test_words_are_dropped_and_values_as_in_a_plain_table() -> None:
    layer = WordEmbedding(V, E, word_dropout=1.0, table=FactorisedTable(V, E, 3))
    assert torch.equal(layer(torch.tensor([3, 4])), layer.table(torch.tensor([0, 0])))
