"""Suspect labels, duplicates and unknown words of two splits, in their order."""

from __future__ import annotations

import numpy as np
import torch

from lightning_nn.tasks.label_review import CheckedSplit, LabelReview
from lightning_nn.visualization.labels import page
from tests.tasks.test_outcomes import Lines

TRAIN = CheckedSplit(
    "train",
    Lines(),
    torch.tensor([0, 0, 0, 1, 1]),
    torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]]),
    np.array([0, -1, -1, 1, 0]),
    np.array([0.0, 0.6, 0.5, 0.9, 0.0]),
)
TEST = CheckedSplit(
    "test",
    None,
    torch.tensor([1, 1]),
    torch.tensor([[0.95, 0.05], [0.2, 0.8]]),
    np.array([-1, 1]),
    np.zeros(2),
)
REVIEW = LabelReview([TRAIN, TEST], ["good", "bad"])


def test_suspect_labels_come_first_the_least_probable_of_them_first() -> None:
    assert REVIEW.order.tolist() == [5, 2, 1, 4, 6, 0, 3]
    assert REVIEW.suspect.nonzero().flatten().tolist() == [2, 5]
    assert REVIEW.pairs == [("good", "bad", 1), ("bad", "good", 1)]
    labels = REVIEW.tables()[0]
    rows = [dict(zip(labels.columns, row, strict=True)) for row in labels.rows]
    assert [row["rank"] for row in rows] == list(range(1, 8))
    assert rows[0]["split"] == "test" and rows[0]["suggested_label"] == "good" and rows[0]["suspect"] == 1
    expected = {"file": "reviews.csv", "line": 4, "text": "text 2", "label": "good", "suggested_label": "bad"}
    assert rows[1].items() >= expected.items() and abs(rows[1]["probability"] - 0.2) < 1e-6
    assert rows[3]["suggested_label"] == ""


def test_duplicates_whose_labels_differ_come_first() -> None:
    assert [group.tolist() for group in REVIEW.groups] == [[0, 4], [3, 6]]
    assert REVIEW.differs(REVIEW.groups[0]) and not REVIEW.crosses(REVIEW.groups[0])
    assert REVIEW.crosses(REVIEW.groups[1]) and not REVIEW.differs(REVIEW.groups[1])
    assert [row[:3] for row in REVIEW.tables()[1].rows] == [
        (1, 1, "train"),
        (1, 1, "train"),
        (2, 0, "train"),
        (2, 0, "test"),
    ]


def test_samples_most_of_whose_words_are_unknown_are_listed() -> None:
    assert REVIEW.unreadable.tolist() == [3, 1]


def test_the_page_shows_all_three() -> None:
    text = page(REVIEW, lambda batch: None)
    for words in ("perhaps", "reviews.csv:4", "2 groups of samples", "most words of 2 samples", "text 3"):
        assert words in text
    clean = TRAIN._replace(label=TRAIN.probability.argmax(1), copies=np.full(5, -1), unknown=np.zeros(5))
    text = page(LabelReview([clean], ["good", "bad"]), lambda batch: None)
    assert "None." in text and "Duplicates" not in text and "Unknown words" not in text
