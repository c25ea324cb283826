"""The table of a classifier's test, and its most confident mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lightning_nn.data.batches import Index
from lightning_nn.data.processor import SampleOrigin
from lightning_nn.tasks.outcomes import MOST_COLUMNS, Outcomes, confident_mistakes, outcome_table, sample_table

PROBABILITY = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
OUTCOMES = Outcomes(
    torch.arange(4), torch.tensor([0, 0, 0, 1]), torch.tensor([0.1, 0.9, 1.6, 0.4]), PROBABILITY, PROBABILITY
)


class Lines:
    """Samples of a file, one a line after a header."""

    def __getitem__(self, index: Index) -> Any:
        return [int(i) for i in index]

    def origins(self, index: Index) -> list[SampleOrigin]:
        return [SampleOrigin("reviews.csv", int(i) + 2, f"text {i}") for i in index]


def test_a_row_has_origin_truth_prediction_and_the_probability_of_each_class() -> None:
    table = outcome_table(OUTCOMES, ["good", "bad"], "test", Lines())
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["line"] for row in rows] == [2, 3, 4, 5] and rows[1]["file"] == "reviews.csv"
    expected = {"split": "test", "sample": 2, "text": "text 1", "truth": "good", "prediction": "bad", "right": 0}
    assert rows[1].items() >= expected.items()
    numbers = [rows[1][name] for name in ("probability", "truth_probability", "loss", "p(good)", "p(bad)")]
    np.testing.assert_allclose(numbers, [0.6, 0.4, 0.9, 0.4, 0.6], rtol=1e-6)
    assert [row["right"] for row in rows] == [1, 0, 0, 1]


def test_samples_of_another_loader_have_numbers_alone() -> None:
    table = outcome_table(OUTCOMES, ["good", "bad"], "test", None)
    assert [*table.columns][:3] == ["split", "sample", "truth"] and len(table.rows) == 4


def test_an_image_has_a_file_and_no_line() -> None:
    class Files(Lines):
        def origins(self, index: Index) -> list[SampleOrigin]:
            return [SampleOrigin(f"{i}.png") for i in index]

    table = sample_table("test", torch.arange(2), Files(), {"miou": [0.5, 1.0]})
    assert table.columns == ["split", "sample", "file", "miou"] and table.rows[1] == ("test", 2, "1.png", 1.0)


def test_of_very_many_classes_the_table_has_no_columns() -> None:
    many = MOST_COLUMNS + 1
    outcomes = OUTCOMES._replace(probability=torch.eye(many)[:4])
    assert len(outcome_table(outcomes, [str(k) for k in range(many)], "test", None).columns) == 8


def test_the_most_confident_mistake_is_first_and_shown_from_its_own_sample() -> None:
    mistakes = confident_mistakes(OUTCOMES, ["good", "bad"], Lines(), look=lambda batch: batch)
    assert (mistakes.wrong, mistakes.total) == (2, 4)
    assert [mistake.place for mistake in mistakes.samples] == ["reviews.csv:4", "reviews.csv:3"]
    first = mistakes.samples[0]
    assert (first.truth, first.category, first.text, first.shown) == ("good", "bad", "text 2", [2])
    np.testing.assert_allclose([first.probability, first.truth_probability], [0.8, 0.2], rtol=1e-6)
    unknown = confident_mistakes(OUTCOMES, ["good", "bad"], None, look=lambda batch: batch).samples[0]
    assert unknown.place == "sample 3" and unknown.shown is None
