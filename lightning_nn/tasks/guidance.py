"""Guidance of captioners: each word of a caption predicted from what the decoder sees of the image, alone.

What stands before a recurrent network learns slowly through it; the gradient of this second loss is direct.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.errors import UserError
from lightning_nn.layers.ragged import at_least_float32, segment_ids, segment_starts
from lightning_nn.settings import Group
from lightning_nn.tasks.captioning import CaptionRows


@dataclass(frozen=True)
class Guidance(Group):
    """A second loss in training, of each word of a caption predicted from the image alone.

    Args:
        weight: of this loss, 0 to 100; 0: none.
        positions: positions of a caption that the prediction distinguishes, the last of them also those beyond; 1 for
            captions in free order. It has P x V weights for each.

    Raises:
        UserError: a value is out of its range.
    """

    weight: float = 0.0
    positions: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 100:
            raise UserError(f"--model.guidance.weight is {self.weight}; it must be 0 to 100")
        if self.positions < 1:
            raise UserError(f"--model.guidance.positions is {self.positions}; it must be at least 1")


class GuidedWords(nn.Linear):
    """Prediction of the words of a caption from an image, and from their position if there are several.

    Args:
        width: width of what the decoder sees of an image, P.
        vocabulary_size: number of words, V.
        positions: see `Guidance`.
    """

    def __init__(self, width: int, vocabulary_size: int, positions: int) -> None:
        super().__init__(width, positions * vocabulary_size)
        self.positions = positions

    def loss(self, picture: Tensor, rows: CaptionRows) -> Tensor:
        """Sum the losses of all words and ends, given what the decoder sees of the images, (B, P)."""
        logits = self(picture).unflatten(1, (self.positions, -1))  # (B, positions, V)
        caption = segment_ids(rows.lengths, len(rows.targets))
        position = torch.arange(len(caption), device=picture.device) - segment_starts(rows.lengths)[caption]
        guess = logits[rows.image_index[caption], position.clamp(max=self.positions - 1)]  # (W, V)
        return F.cross_entropy(at_least_float32(guess), rows.targets, reduction="sum")
