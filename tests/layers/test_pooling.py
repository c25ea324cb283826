from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_nn.layers.pooling import MaxPool2d


def pooled(layer: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The output, the gradient, and what is kept between the two passes."""
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    image = image.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = layer(image)
    weight = torch.arange(output.numel(), dtype=output.dtype).view(output.shape)
    (gradient,) = torch.autograd.grad(output, image, weight)
    return output.detach(), gradient, kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 3, 0), (2, 3, 0), (3, 2, 0), (2, 2, 1), (1, 1, 0)]
)
def test_output_and_gradient_are_torchs(
    kernel: int, stride: int, padding: int, memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    image = torch.randn(3, 4, 9, 8, dtype=dtype).relu().contiguous(memory_format=memory_format)  # ties at 0
    one = pooled(MaxPool2d(kernel, stride, padding), image)
    other = pooled(nn.MaxPool2d(kernel, stride, padding), image)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_the_input_is_not_kept_for_the_backward_pass() -> None:
    image = torch.randn(3, 4, 8, 8)
    assert [each.shape for each in pooled(MaxPool2d(2, 2), image)[2]] == [(3, 4, 4, 4)]
    assert image.shape in [each.shape for each in pooled(nn.MaxPool2d(2, 2), image)[2]]
