from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.data.text.vocabulary import Vocabulary


def test_frequent_words_first_and_ties_in_the_order_of_code_points() -> None:
    vocabulary = Vocabulary.from_counts({"乙": 2, "b": 2, "甲": 5, "a": 1, "<unk>": 9}, min_count=2)
    assert vocabulary.words == ["<unk>", "甲", "b", "乙"]
    assert vocabulary.ids(["甲", "a", "乙", ""]).tolist() == [1, 0, 3, 0]
    assert Vocabulary.from_counts({"a": 1, "b": 2}, max_size=2).words == ["<unk>", "b"]


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 5)), st.randoms())
def test_the_order_of_counting_does_not_matter(counts: dict[str, int], random: object) -> None:
    items = list(counts.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert Vocabulary.from_counts(dict(items)).words == Vocabulary.from_counts(counts).words


def test_characters_of_the_words_in_their_order_behind_none() -> None:
    assert Vocabulary(["<unk>", "羽毛球", "球", "ab球", "羽毛"]).characters == ["", "羽", "毛", "球", "a", "b"]


def test_a_table_without_the_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with '<unk>'"):
        Vocabulary(["a"])
