from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lightning_nn.metrics.calibration import (
    COOLEST,
    HOTTEST,
    Bin,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def drawn(count: int = 4000, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits, and labels from their softmax."""
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, classes, generator=random)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=random).squeeze(1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale_of_the_logits(scale: float) -> None:
    logits, label = drawn()
    scores = (scale * logits).log_softmax(1)
    temperature = fit_temperature(scores, label)
    assert temperature == pytest.approx(scale, rel=0.08)
    least = F.cross_entropy(scores.double() / temperature, label)
    for other in (0.98 * temperature, 1.02 * temperature):
        assert F.cross_entropy(scores.double() / other, label) > least


def test_there_is_no_temperature_where_all_are_right_and_none_beyond_its_bounds() -> None:
    sure = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
    assert fit_temperature(sure, torch.tensor([0, 1])) == 1.0
    assert fit_temperature(sure[:0], torch.zeros(0, dtype=torch.long)) == 1.0
    assert fit_temperature(sure, torch.tensor([1, 0])) == pytest.approx(HOTTEST, rel=1e-3)
    shy = torch.tensor([[0.501, 0.499]] * 99 + [[0.499, 0.501]]).log()
    assert fit_temperature(shy, torch.zeros(100, dtype=torch.long)) == pytest.approx(COOLEST, rel=1e-3)


def test_a_probability_of_zero_is_survived() -> None:
    scores = torch.tensor([[0.0, -torch.inf], [0.0, -torch.inf], [-1.0, -0.5]])
    assert COOLEST <= fit_temperature(scores, torch.tensor([0, 1, 0])) <= HOTTEST


def test_bins_hold_what_is_predicted_with_like_probability() -> None:
    probability = torch.tensor([0.95, 1.0, 0.55, 0.6])
    is_right = torch.tensor([True, True, False, True])
    bins = reliability(probability, is_right, bins=10)
    expected = [(0.575, 0.5, 2), (0.975, 1.0, 2)]
    assert len(bins) == 2 and all(isinstance(group, Bin) for group in bins)
    for group, values in zip(bins, expected, strict=True):
        assert tuple(group) == pytest.approx(values)
    assert expected_calibration_error(probability, is_right, bins=10) == pytest.approx((2 * 0.075 + 2 * 0.025) / 4)


def test_the_temperature_lowers_the_calibration_error() -> None:
    logits, label = drawn()
    scores = (3 * logits).log_softmax(1)
    errors = []
    for temperature in (1.0, fit_temperature(scores[:2000], label[:2000])):
        best = (scores[2000:] / temperature).softmax(1).max(1)
        errors.append(expected_calibration_error(best.values, best.indices == label[2000:]))
    assert errors[0] > 0.1 > 0.04 > errors[1], errors
