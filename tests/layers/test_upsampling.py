from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.layers.upsampling import Upsampling, best_masks, bilinear_kernel

# ---------------------------------------------------------------------- transposed convolution, three ways


def by_hand(x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """Each value paints the kernel, scaled by it, at its place on a canvas, whose border is then removed."""
    height, width = ((n - 1) * stride + len(kernel) for n in x.shape)
    canvas = torch.zeros(height, width, dtype=x.dtype)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for a in range(kernel.shape[0]):
                for b in range(kernel.shape[1]):
                    canvas[i * stride + a, j * stride + b] += x[i, j] * kernel[a, b]
    return canvas[padding : height - padding, padding : width - padding]


def by_matrix(x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """A convolution is a matrix; the transposed convolution is its transpose."""
    height, width = ((n - 1) * stride + len(kernel) - 2 * padding for n in x.shape)
    pixels = torch.eye(height * width, dtype=x.dtype).view(-1, 1, height, width)
    columns = F.conv2d(pixels, kernel[None, None], stride=stride, padding=padding)  # of each pixel alone
    matrix = columns.flatten(1).T  # (cells, pixels)
    return (matrix.T @ x.flatten()).view(height, width)


@pytest.mark.parametrize(("stride", "size", "padding"), [(1, 3, 1), (2, 4, 1), (2, 3, 0), (3, 5, 2), (4, 8, 2)])
def test_transposed_convolution_is_the_same_in_three_ways(stride: int, size: int, padding: int) -> None:
    x, kernel = torch.randn(3, 4, dtype=torch.float64), torch.randn(size, size, dtype=torch.float64)
    hand, matrix = by_hand(x, kernel, stride, padding), by_matrix(x, kernel, stride, padding)
    of_torch = F.conv_transpose2d(x[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]
    torch.testing.assert_close(hand, of_torch)
    torch.testing.assert_close(matrix, of_torch)


def test_it_is_the_gradient_of_the_convolution() -> None:
    kernel = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    image = torch.randn(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    cells = F.conv2d(image, kernel, stride=2, padding=1)
    upstream = torch.randn_like(cells)
    (gradient,) = torch.autograd.grad(cells, image, upstream)
    torch.testing.assert_close(gradient[0, 0], by_hand(upstream[0, 0], kernel[0, 0], 2, 1))


# ---------------------------------------------------------------------- the layer


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
@pytest.mark.parametrize("learned", [True, False])
def test_it_starts_as_bilinear_interpolation(factor: int, learned: bool) -> None:
    up = Upsampling(3, factor, learned).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    y, reference = up(x), F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(y, reference)
    upstream = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, upstream), torch.autograd.grad(reference, x, upstream))
    assert len(list(up.parameters())) == learned


def test_the_bilinear_kernel_of_factor_2() -> None:
    along = torch.tensor([1, 3, 3, 1]) / 4
    torch.testing.assert_close(bilinear_kernel(2), torch.outer(along, along))


def test_each_channel_learns_a_kernel_of_its_own() -> None:
    up = Upsampling(2, 2)
    up(torch.randn(1, 2, 3, 3))[:, 0].sum().backward()
    assert up.weight.grad is not None
    assert up.weight.grad[0].any() and not up.weight.grad[1].any()


@pytest.mark.parametrize("factor", [0, 1, 3])
def test_an_odd_factor_is_refused(factor: int) -> None:
    with pytest.raises(ValueError, match=f"factor is {factor}; it must be an even number"):
        Upsampling(1, factor)


# ---------------------------------------------------------------------- the best masks of a stride


def test_masks_of_whole_cells_can_be_reached() -> None:
    mask = torch.tensor([0, 2, 1, 0]).repeat_interleave(8).expand(1, 12, -1)
    assert torch.equal(best_masks(mask, 3, 4), mask)


def test_finer_strides_come_closer() -> None:
    random = np.random.default_rng(0)
    centres = random.uniform(0, 60, (12, 2))
    points = np.stack(np.meshgrid(np.arange(50), np.arange(61), indexing="ij"), -1)[..., None, :]
    mask = torch.from_numpy(np.square(points - centres).sum(-1).argmin(-1))[None]  # the nearest of 12 points
    right = [float((best_masks(mask, 12, stride) == mask).float().mean()) for stride in (2, 4, 8, 16, 32)]
    assert right == sorted(right, reverse=True) and right[1] > 0.97 and right[-1] < 0.8


def test_ignored_pixels_are_no_class() -> None:
    mask = torch.full((1, 5, 7), 255)
    mask[0, :2] = 1
    assert best_masks(mask, 2, 4).shape == mask.shape
    assert (best_masks(mask, 2, 4)[mask == 1] == 1).all()
