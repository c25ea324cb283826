from __future__ import annotations

import pytest
import torch

from lightning_nn.layers.convolution import build, sequential
from lightning_nn.layers.inspection import ReceptiveField, receptive_fields


@pytest.mark.parametrize(
    "entries",
    [
        ["conv 2 3"],
        ["conv 2 5 padding=2", "relu", "avg_pool 2", "conv 2 3 padding=1"],
        ["whitening 2", "conv 2 3 stride=2 padding=1", "residual conv 2 3 padding=1, conv 2 3 padding=1"],
        ["avg_pool 3 stride=2", "conv 2 2", "avg_pool 2 stride=1", "conv 2 2 stride=2"],
    ],
)
def test_a_place_depends_on_the_pixels_of_its_field_alone(entries: list[str]) -> None:
    """By the gradient, whose weights are all positive."""
    body = sequential(build(entries, (1, 24, 24))).double()
    for each in [*body.parameters(), *body.buffers()]:
        if each.is_floating_point():
            each.data.fill_(1.0)
    name, field = list(receptive_fields(body.named_children()).items())[-1]
    image = torch.rand(1, 1, 24, 24, dtype=torch.float64, requires_grad=True)
    features = image
    for child, module in body.named_children():
        features = module(features)
        if child == name:
            break
    for i, j in ((0, 0), (1, 2), (features.shape[2] - 1, 3)):
        (gradient,) = torch.autograd.grad(features[0, 0, i, j], image, retain_graph=True)
        rows, columns = (gradient[0, 0] != 0).nonzero().T
        for place, pixels in ((i, rows), (j, columns)):
            first = field.start + place * field.step
            assert (int(pixels.min()), int(pixels.max())) == (max(0, first), min(23, first + field.size - 1))


def test_two_convolutions_of_three_see_as_much_as_one_of_five() -> None:
    body = sequential(build(["conv 2 3", "conv 2 3"], (1, 9, 9)))
    assert receptive_fields(body.named_children())["conv2"] == ReceptiveField(5, 1, 0)
