"""Patches of images that the channels of a network's layers respond to most."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.layers.images import whole_levels
from lightning_nn.layers.inspection import ReceptiveField

CHANNELS = 8  # of each layer
PATCHES = 8  # of each channel, of different images
IMAGES = 2_000  # that are looked at


class StrongestPatches:
    """The strongest patches so far.

    Args:
        fields: receptive field of each layer, by its name.
    """

    def __init__(self, fields: Mapping[str, ReceptiveField]) -> None:
        self.fields = fields
        self.reset()

    def reset(self) -> None:
        """Forget all patches."""
        self.seen = 0
        self._best: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def is_full(self) -> bool:
        """True once enough images were seen."""
        return self.seen >= IMAGES

    def update(self, image: Tensor, activations: Mapping[str, Tensor]) -> None:
        """Compare the strongest patch of each image with those kept.

        Args:
            image: uint8 or float (B, C, H, W).
            activations: (B, channels, H', W') of each layer, by its name.
        """
        self.seen += len(image)
        image = whole_levels(image).cpu()
        for name, field in self.fields.items():
            of_layer = activations[name][:, :CHANNELS].float().cpu()  # (B, K, H', W')
            value, place = of_layer.flatten(2).max(2)  # (B, K)
            value, which = value.topk(min(PATCHES, len(value)), dim=0)  # (N, K)
            width = of_layer.shape[3]
            wide = F.pad(image, [field.size + abs(field.start)] * 4)
            patches = torch.stack(
                [
                    torch.stack([_patch(wide, int(i), int(place[i, k]), width, field) for i in which[:, k]])
                    for k in range(value.shape[1])
                ],
                dim=1,
            )  # (N, K, C, size, size)
            if name in self._best:
                value = torch.cat([self._best[name][0], value])
                patches = torch.cat([self._best[name][1], patches])
            value, order = value.topk(min(PATCHES, len(value)), dim=0)
            columns = torch.arange(value.shape[1])
            self._best[name] = value, patches[order, columns]

    def patches(self) -> dict[str, Tensor]:
        """Return the patches of each layer, uint8 (channels, patches, C, size, size), the strongest first."""
        return {name: patches.transpose(0, 1) for name, (_, patches) in self._best.items()}


def _patch(wide: Tensor, image: int, place: int, width: int, field: ReceptiveField) -> Tensor:
    """Return the pixels that a place sees, (C, size, size); black beyond the border."""
    border = field.size + abs(field.start)
    top, left = (border + field.start + each * field.step for each in divmod(place, width))
    return wide[image, :, top : top + field.size, left : left + field.size]
