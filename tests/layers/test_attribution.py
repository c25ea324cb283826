"""Integrated gradients: equal to the integral where it is known, complete where it is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_nn.layers.attribution import integrated_gradients


def test_a_product_is_shared_as_the_integral_says() -> None:
    x, baseline = torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0])
    # d/dx1 = x2 = 2 a, so 2 * 1; d/dx2 = x1 = 1 + 2 a, so 2 * 2
    attribution = integrated_gradients(lambda point: point.prod(), x, baseline, steps=3)
    torch.testing.assert_close(attribution, torch.tensor([2.0, 4.0]))


@pytest.mark.parametrize("grad", [True, False])
def test_attributions_of_a_network_sum_to_the_difference_of_its_scores(grad: bool) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x, baseline = torch.randn(3, 4, dtype=torch.double), torch.randn(3, 4, dtype=torch.double)

    def score(point: Tensor) -> Tensor:
        value: Tensor = net(point)[:, 0]
        return value

    with torch.set_grad_enabled(grad):
        attribution = integrated_gradients(score, x, baseline, steps=300)
        difference = score(x) - score(baseline)
    torch.testing.assert_close(attribution.sum(1), difference, rtol=0, atol=1e-4)
    assert not attribution.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def test_fewer_than_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="in 0 steps"):
        integrated_gradients(torch.sum, torch.ones(2), torch.zeros(2), steps=0)
