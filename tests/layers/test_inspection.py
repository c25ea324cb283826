from __future__ import annotations

import pytest
import torch

from lightning_nn.layers.convolution import build, sequential
from lightning_nn.layers.inspection import MAX_PATCHES, ReceptiveField, StrongestPatches, layer_table, receptive_fields


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


def test_the_table_compares_with_a_fully_connected_layer() -> None:
    rows = layer_table(build(["conv 16 5 padding=2", "max_pool 2", "flatten", "linear 10"], (1, 8, 8)))
    assert rows[1:] == [
        ("conv 16 5 padding=2", "16 x 8 x 8", "416", "66,560"),
        ("max_pool 2", "16 x 4 x 4", "", ""),
        ("flatten", "256", "", ""),
        ("linear 10", "10", "2,570", "2,570"),
    ]


def test_the_patches_are_those_of_the_largest_activations() -> None:
    """A kernel of ones responds to bright patches: the brightest of each image, the brightest images first."""
    body = sequential(build(["conv 1 3 bias=false"], (1, 10, 10)))
    body[0].weight.data.fill_(1.0)  # type: ignore[union-attr, operator]
    images = torch.randint(0, 256, (40, 1, 10, 10), dtype=torch.uint8)
    found = StrongestPatches(receptive_fields(body.named_children()))
    for some in images.split(7):
        found.update(some, {"conv1": body(some.float()).detach()})
    (patches,) = found.patches().values()
    sums = images.float().unfold(2, 3, 1).unfold(3, 3, 1).sum((1, 4, 5)).flatten(1).amax(1)
    assert patches.shape == (1, MAX_PATCHES, 1, 3, 3) and patches.dtype == torch.uint8
    assert patches[0].float().sum((1, 2, 3)).tolist() == sums.topk(MAX_PATCHES).values.tolist()
    found.reset()
    assert not found.patches()


def test_beyond_the_border_a_patch_is_black() -> None:
    body = sequential(build(["conv 1 3 padding=1 bias=false"], (1, 4, 4)))
    image = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    image[0, 0, 0, 0] = 200
    body[0].weight.data.copy_(torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]))  # type: ignore[union-attr, operator]
    found = StrongestPatches(receptive_fields(body.named_children()))
    found.update(image, {"conv1": body(image.float()).detach()})
    assert found.patches()["conv1"][0, 0, 0].tolist() == [[0, 0, 0], [0, 200, 0], [0, 0, 0]]
