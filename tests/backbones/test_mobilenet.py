from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.backbones.mobilenet import MobileNetV1, SameConv2d, same_padding, unfolded

SIZES = [
    (224, 3, 2, (0, 1)),
    (225, 3, 2, (1, 1)),
    (7, 3, 2, (1, 1)),
    (8, 3, 1, (1, 1)),
    (8, 1, 1, (0, 0)),
    (9, 5, 3, (1, 1)),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "zeros"), SIZES)
def test_zeros_of_same_padding(size: int, kernel: int, stride: int, zeros: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == zeros
    assert (size + sum(zeros) - kernel) // stride + 1 == -(-size // stride), "places"


@pytest.mark.parametrize("size", [(8, 7), (9, 6)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_convolution_is_one_over_a_padded_image(size: tuple[int, int], stride: int) -> None:
    layer = SameConv2d(2, 4, 3, stride, groups=2)
    one, other = (torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in "12")
    zeros = [same_padding(n, 3, stride) for n in reversed(size)]
    expected = F.conv2d(F.pad(other, (*zeros[0], *zeros[1])), layer.weight, layer.bias, stride, groups=2)
    torch.testing.assert_close(layer(one), expected)
    (layer(one) ** 2).sum().backward()
    (expected**2).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


def by_hand(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """MobileNet v1 from its weights by name, as the paper's table 1 lists it."""

    def step(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{name}.conv.weight"]
        if kernel.shape[2] == 3:
            odd = stride == 2 and x.shape[2] % 2 == 0  # TensorFlow's padding: right and below alone
            x = F.pad(x, (0, 1, 0, 1) if odd else (1, 1, 1, 1))
        x = F.conv2d(x, kernel, None, stride, groups=groups)
        mean, variance, scale, shift = (
            weights[f"{name}.bn.{each}"][:, None, None] for each in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (variance + 0.001).sqrt() * scale + shift).clamp(0, 6)

    x = step(x, "conv1", 2)
    for i, stride in enumerate([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]):
        x = step(step(x, f"dw.{i}", stride, groups=x.shape[1]), f"pw.{i}")
    return x.mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


@pytest.fixture
def net() -> MobileNetV1:
    """A narrow one, whose statistics aren't those of a new one."""
    torch.manual_seed(0)
    net = MobileNetV1(5, 0.25)
    for _ in range(3):
        net(torch.randn(4, 3, 64, 64))
    for name, value in net.state_dict().items():
        if ".bn.weight" in name or ".bn.bias" in name:
            value.copy_(torch.rand_like(value) + 0.5)
    return net.eval()


@pytest.mark.parametrize("size", [64, 57])
def test_it_is_the_network_of_the_paper(net: MobileNetV1, size: int) -> None:
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(net(x), by_hand(x, net.state_dict()), atol=1e-4, rtol=1e-4)


def test_it_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        counts = {m: sum(p.numel() for p in MobileNetV1(1000, m).parameters()) for m in (1.0, 0.75, 0.5, 0.25)}
    assert counts == {1.0: 4_231_976, 0.75: 2_585_560, 0.5: 1_331_592, 0.25: 470_072}  # 4.2, 2.6, 1.3, 0.5 million


def test_biases_that_norms_were_folded_into_give_the_same(net: MobileNetV1) -> None:
    weights, folded = net.state_dict(), {}
    for name, kernel in weights.items():
        if name.endswith(".conv.weight"):
            layer = name.removesuffix(".conv.weight")
            scale = weights[f"{layer}.bn.weight"] / (weights[f"{layer}.bn.running_var"] + 1e-3).sqrt()
            folded[name] = kernel * scale[:, None, None, None]
            folded[f"{layer}.conv.bias"] = weights[f"{layer}.bn.bias"] - weights[f"{layer}.bn.running_mean"] * scale
    other = MobileNetV1(5, 0.25).eval()
    other.load_state_dict(unfolded({**folded, "fc.weight": weights["fc.weight"], "fc.bias": weights["fc.bias"]}))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(other(x), net(x), atol=1e-4, rtol=1e-4)
