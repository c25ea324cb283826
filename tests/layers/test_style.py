from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_nn.layers.style import content_loss, gram, style_loss, total_variation


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, 5, 4, 3, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_equals_einsum_with_its_gradient(features: Tensor, layout: torch.memory_format) -> None:
    def reference(x: Tensor) -> Tensor:
        return torch.einsum("bchw,bdhw->bcd", x, x) / (x.shape[2] * x.shape[3])

    weights = torch.randn(2, 5, 5, dtype=torch.float64)  # not symmetric, as a Gram matrix's gradient may be
    found = gram(features.contiguous(memory_format=layout))
    torch.testing.assert_close(found, reference(features))
    (ours,) = torch.autograd.grad((found * weights).sum(), features)
    (theirs,) = torch.autograd.grad((reference(features) * weights).sum(), features)
    torch.testing.assert_close(ours, theirs)


def test_gram_is_right_under_autocast() -> None:
    x = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = gram(x)
    torch.testing.assert_close(found, torch.einsum("bchw,bdhw->bcd", x, x) / 64)


def test_losses_are_0_at_the_target_and_1_at_nothing(features: Tensor) -> None:
    target = gram(features.detach())
    for loss, goal in ((content_loss, features.detach()), (style_loss, target)):
        torch.testing.assert_close(loss(features, goal), torch.zeros(2, dtype=torch.float64))
        torch.testing.assert_close(loss(torch.zeros_like(features), goal), torch.ones(2, dtype=torch.float64))


def test_losses_are_those_of_each_picture(features: Tensor) -> None:
    goal = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    expected = ((features - goal) ** 2).flatten(1).sum(1) / (goal**2).flatten(1).sum(1)
    torch.testing.assert_close(content_loss(features, goal), expected)
    one = style_loss(features, gram(goal[:1]))
    torch.testing.assert_close(one[1], style_loss(features[1:], gram(goal[:1]))[0])


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[0.0, 255.0], [0.0, 0.0]]).expand(1, 3, 2, 2)
    torch.testing.assert_close(total_variation(image), torch.tensor([2 / 4]))
