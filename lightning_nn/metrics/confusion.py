"""Metrics of a confusion matrix: rows true, columns predicted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ClassScore(NamedTuple):
    """Scores of one class.

    Attributes:
        category: name of the class.
        precision: share of the samples predicted as this class that belong to it, 0 to 1.
        recall: share of the samples of this class that were predicted as it, 0 to 1.
        f1: harmonic mean of precision and recall.
        support: number of samples of this class.
    """

    category: str
    precision: float
    recall: float
    f1: float
    support: int


def accuracy(matrix: Tensor) -> Tensor:
    """Compute the share of samples on the diagonal, float32, 0 to 1.

    Args:
        matrix: int64 (K, K).
    """
    return (matrix.diagonal().sum() / matrix.sum().clamp(min=1)).float()


def macro_f1(matrix: Tensor) -> Tensor:
    """Average F1 over the classes that occur among labels or predictions, float32, 0 to 1.

    Args:
        matrix: int64 (K, K).
    """
    present = (matrix.sum(0) + matrix.sum(1)) > 0
    return (_f1(matrix) * present).sum() / present.sum().clamp(min=1)


def intersection_over_union(matrix: Tensor) -> Tensor:
    """Compute for each class the pixels that are and were predicted as it, over those that are or were.

    Args:
        matrix: int64 (..., K, K).

    Returns:
        float32 (..., K), 0 to 1; not a number for a class that occurs neither among labels nor predictions.
    """
    hits = matrix.diagonal(dim1=-2, dim2=-1)
    return (hits / (matrix.sum(-1) + matrix.sum(-2) - hits)).float()


def only_predicted(matrix: Tensor, categories: list[str]) -> str | None:
    """Return the class that everything was predicted as, though labels differ; None if there is no such class.

    Args:
        matrix: int64 (K, K).
        categories: names of the K classes.
    """
    labels, predictions = (matrix.sum(dim).nonzero().flatten().tolist() for dim in (1, 0))
    return categories[predictions[0]] if len(predictions) == 1 < len(labels) else None


def class_scores(matrix: Tensor, categories: list[str]) -> list[ClassScore]:
    """Compute precision, recall, F1 and support of each class.

    Args:
        matrix: int64 (K, K).
        categories: names of the K classes.
    """
    hits, predicted, support = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    precision, recall = hits / predicted.clamp(min=1), hits / support.clamp(min=1)
    columns = zip(precision.tolist(), recall.tolist(), _f1(matrix).tolist(), support.tolist(), strict=True)
    return [ClassScore(name, *row) for name, row in zip(categories, columns, strict=True)]


def _f1(matrix: Tensor) -> Tensor:
    """Compute F1 of each class, float32 (K,); 0 where a class does not occur."""
    both = matrix.sum(0) + matrix.sum(1)
    return (2 * matrix.diagonal() / torch.clamp(both, min=1)).float()
