from __future__ import annotations

import torch

from lightning_nn.layers.convolution import build, sequential
from lightning_nn.layers.inspection import receptive_fields
from lightning_nn.tasks.strongest_patches import PATCHES, StrongestPatches


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
    assert patches.shape == (1, PATCHES, 1, 3, 3) and patches.dtype == torch.uint8
    assert patches[0].float().sum((1, 2, 3)).tolist() == sums.topk(PATCHES).values.tolist()
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
