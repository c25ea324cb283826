from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_nn import Optimizer
from lightning_nn.optimizers import Muon, orthogonal


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (1, 9)])
def test_singular_values_become_about_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(matrix) @ v.T
    torch.testing.assert_close(found, found.diagonal().diag(), rtol=0, atol=1e-4)
    large = values > 0.1 * values.norm()
    assert ((found.diagonal()[large] > 0.6) & (found.diagonal()[large] < 1.3)).all()


def test_kernels_are_scaled_and_turned_by_an_orthogonal_step() -> None:
    kernels = nn.Parameter(torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0)))
    optimizer = Muon([{"params": [kernels]}], lr=0.1, kernel_lr=0.2, kernel_momentum=0.5)
    before, momentum = kernels.detach().clone(), torch.zeros(3, 8)
    for i in range(3):
        gradient = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(i + 1))
        kernels.grad = gradient.clone()
        optimizer.step()
        momentum = 0.5 * momentum + gradient.flatten(1)
        step = orthogonal(gradient.flatten(1) + 0.5 * momentum).view(3, 2, 2, 2)
        before = 3**0.5 * before / before.norm() - 0.2 * step
        torch.testing.assert_close(kernels.detach(), before)


def test_other_parameters_take_the_steps_of_sgd_with_nesterov_momentum() -> None:
    def descend(kind: type[torch.optim.Optimizer] | None) -> Tensor:
        weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        groups = [{"params": [weight], "weight_decay": 0.1}]
        if kind is None:
            optimizer = Optimizer("muon", lr=0.1, momentum=0.9).build(groups)
        else:
            optimizer = kind(groups, lr=0.1, momentum=0.9, nesterov=True)  # type: ignore[call-arg]
        for _ in range(5):
            optimizer.zero_grad()
            (weight**2).sum().backward()
            optimizer.step()
        return weight.detach()

    torch.testing.assert_close(descend(None), descend(torch.optim.SGD))


def test_a_factor_on_a_groups_rate_acts_on_its_kernels() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(2, 2, 1, 1)), nn.Parameter(torch.ones(2, 2))], "scale": 0.5}]
    rates = [group["lr"] for group in Optimizer("muon", lr=0.1, kernel_lr=0.2).build(groups).param_groups]
    assert rates == [0.1, 0.05]


def test_the_closure_computes_the_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([{"params": [weight, nn.Parameter(torch.ones(1))]}], lr=0.1, kernel_lr=0.1, momentum=0.0)

    def closure() -> Tensor:
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure)) == 4
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 0.8))
