"""Activations of a frozen network by name, for losses on what it sees in a picture.

The layers of a network are a chain. An activation is named after its kind, its stage and its number there: relu3_1 is
the first ReLU after the second halving, as in the literature on VGG (Simonyan and Zisserman 2015).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lightning_nn.errors import UserError, nearest

Pooling = Literal["average", "trained"]

PROBE = 64  # pixels of a side of an image that every network takes
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh)


class Features(nn.Module):
    """A frozen network, cut after the last activation that is asked for.

    Args:
        network: a chain of layers from images on, which are frozen. Layers that need an image of one size, and those
            after them, are not used.
        layers: names of activations; see `activations`.
        pooling: average: means instead of maxima, for smoother gradients (Gatys et al. 2016, section 2). trained: as
            the network was trained.

    Raises:
        UserError: the network has no such activation.
    """

    def __init__(self, network: nn.Sequential, layers: Collection[str], pooling: Pooling = "trained") -> None:
        super().__init__()
        places = {name: place for name, (place, _) in activations(network).items()}
        for name in layers:
            if name not in places:
                raise UserError(f"the network has no layer {name!r}{nearest(name, places)}")
        self.names = {places[name]: name for name in layers}
        chain = list(_chain(network))[: max(self.names, default=-1) + 1]
        self.layers = nn.ModuleList(_prepared(layer, pooling) for layer in chain)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the activations, (B, C, H, W) each, by name, from the first to the last.

        Args:
            image: float (B, C, H, W), as the network takes it.
        """
        return dict(self.each(image))

    def each(self, image: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield name and activation, one after another: what the caller drops takes no memory any longer."""
        x = image.contiguous(memory_format=torch.channels_last)
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in self.names:
                yield self.names[place], x

    def smallest_side(self) -> int:
        """Find the fewest pixels of a side of an image that has all activations."""
        for side in range(1, PROBE):
            with contextlib.suppress(RuntimeError):  # a kernel is larger than its input, or an output is empty
                self._probe(side)
                return side
        return PROBE

    def values_per_pixel(self) -> tuple[float, float]:
        """Measure the values held for each pixel of an image: in a forward and backward pass, and in a forward pass."""
        weights = [*self.parameters(), *self.buffers()]
        held: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = self._probe(PROBE)
        for weight in weights:
            held.pop(weight.untyped_storage().data_ptr(), None)
        largest = 3 * max(map(Tensor.numel, outputs))  # input and output of a layer, and what a loss makes of it
        return (sum(held.values()) / outputs[0].element_size() + largest) / PROBE**2, largest / PROBE**2

    def _probe(self, side: int) -> list[Tensor]:
        """Return the outputs of all layers for a black image."""
        like = next(iter((*self.parameters(), *self.buffers())), torch.zeros(()))
        x = torch.zeros(1, 3, side, side, dtype=like.dtype, device=like.device, requires_grad=True)
        return [x := layer(x) for layer in self.layers]


def activations(network: nn.Sequential) -> dict[str, tuple[int, int]]:
    """Return place in the chain and stage, counted from 1, of each activation of a network, by name."""
    places, stage, number = {}, 1, Counter[int]()
    for place, layer in enumerate(_chain(network)):
        if _halves(layer):
            stage += 1
        elif isinstance(layer, _ACTIVATIONS):
            number[stage] += 1
            places[f"{type(layer).__name__.lower()}{stage}_{number[stage]}"] = (place, stage)
    return places


def first_of_stages(network: nn.Sequential) -> list[str]:
    """Return the first activation of each stage, the usual layers of a style."""
    first: dict[int, str] = {}
    for name, (_, stage) in activations(network).items():
        first.setdefault(stage, name)
    return list(first.values())


def deep_layer(network: nn.Sequential) -> str:
    """Return the second activation of the fourth stage, or of the last if there are fewer.

    It is the usual layer of a content: Gatys et al. 2016 use that of VGG-19.
    """
    named = activations(network)
    last = min(4, max((stage for _, stage in named.values()), default=1))
    inside = [name for name, (_, stage) in named.items() if stage == last]
    return inside[min(1, len(inside) - 1)]


def vgg(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """Build the convolutions of a VGG, or the first of them, from their weights.

    Args:
        weights: by torchvision's names: `features.0.weight`, `features.0.bias`, `features.2.weight`, ... A number that
            two activations leave out is a pooling layer.

    Raises:
        UserError: there are none, or they are of another network.
    """
    kernels = {int(name.split(".")[1]): name for name in weights if name.startswith("features.") and ".weight" in name}
    if not kernels or any(weights[name].shape[2:] != (3, 3) for name in kernels.values()):
        raise UserError("these are not the weights of a VGG without batch normalisation (features.0.weight, ...)")
    chain, last = nn.Sequential(), max(kernels)
    for place in range(last + 2):
        if (name := kernels.get(place)) is not None:
            weight, bias = weights[name], weights[name.replace("weight", "bias")]
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.load_state_dict({"weight": weight, "bias": bias})
            chain.append(layer)
        else:
            chain.append(nn.ReLU() if place - 1 in kernels else nn.MaxPool2d(2))
    return chain


def _chain(network: nn.Sequential) -> Iterator[nn.Module]:
    """Yield the layers of a chain, those of inner chains too, up to the first that loses height and width."""
    for layer in network:
        if isinstance(layer, nn.Flatten | nn.Linear | nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            return
        if type(layer) is nn.Sequential:
            yield from _chain(layer)
            if any(isinstance(inner, nn.Flatten) for inner in layer):
                return
        else:
            yield layer


def _halves(layer: nn.Module) -> bool:
    stride = getattr(layer, "stride", 1)
    return (stride[0] if isinstance(stride, tuple) else stride) > 1


def _prepared(layer: nn.Module, pooling: Pooling) -> nn.Module:
    if isinstance(layer, nn.ReLU):
        return nn.ReLU(inplace=True)  # the input, of a convolution or a norm, is not needed for the gradient
    if pooling == "average" and isinstance(layer, nn.MaxPool2d):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
    return layer
