from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from lightning_nn.metrics.confusion import accuracy, class_scores, macro_f1

K = 4
answers = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=60)


def matrix_of(pairs: list[tuple[int, int]]) -> torch.Tensor:
    true, predicted = zip(*pairs, strict=True)
    return torch.from_numpy(confusion_matrix(true, predicted, labels=range(K)))


@given(answers)
def test_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    matrix = matrix_of(pairs)
    assert float(accuracy(matrix)) == pytest.approx(accuracy_score(true, predicted), abs=1e-6)
    assert float(macro_f1(matrix)) == pytest.approx(f1_score(true, predicted, average="macro"), abs=1e-6)


@given(answers)
def test_scores_of_each_class_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    scores = class_scores(matrix_of(pairs), list("abcd"))
    expected = precision_recall_fscore_support(true, predicted, labels=range(K), zero_division=0)
    got = np.array([[s.precision, s.recall, s.f1, s.support] for s in scores]).T
    np.testing.assert_allclose(got, np.array(expected, dtype=float), atol=1e-6)
    assert [s.category for s in scores] == list("abcd")


def test_no_samples_are_no_division_by_zero() -> None:
    empty = torch.zeros(K, K, dtype=torch.int64)
    assert (float(accuracy(empty)), float(macro_f1(empty))) == (0.0, 0.0)
    assert all(row[1:] == (0.0, 0.0, 0.0, 0) for row in class_scores(empty, list("abcd")))
