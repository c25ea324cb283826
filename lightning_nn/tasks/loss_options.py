"""Weights of the losses of a stylization, and the network behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lightning_nn.errors import UserError, choose
from lightning_nn.layers.features import Pooling

LayerWeights = dict[str, float]
LARGEST_SCALE = 8


class LossOptions(NamedTuple):
    """Weights of the losses of a stylization, and the network behind them.

    Attributes:
        features: see `feature_network`.
        content_weight: of the content loss, 0 or above.
        style_weight: of the style loss, likewise.
        variation_weight: of the total variation, likewise.
        content_layers: weight of each layer of the content by name; None for the usual one.
        style_layers: likewise for the style; None for the first layer of each stage, all equal.
        style_weights: weight of each style; None if all weigh the same.
        style_scale: size of the style's picture, relative to that of the result.
        pooling: see `Features`.
    """

    features: str
    content_weight: float
    style_weight: float
    variation_weight: float
    content_layers: LayerWeights | None
    style_layers: LayerWeights | None
    style_weights: Sequence[float] | None
    style_scale: float
    pooling: Pooling

    def check(self) -> None:
        """Check the options.

        Raises:
            UserError: a value is out of its range, or nothing is left to reproduce.
        """
        choose("pooling", self.pooling, Pooling)
        for name in ("content_weight", "style_weight", "variation_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 0 or above")
        if not self.content_weight and not self.style_weight:
            raise UserError("content_weight and style_weight are both 0: nothing is left to reproduce")
        if not 0 < self.style_scale <= LARGEST_SCALE:
            raise UserError(f"style_scale is {self.style_scale}; it must be above 0 and at most {LARGEST_SCALE}")
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            if layers is not None and (not layers or any(not 0 < each < math.inf for each in layers.values())):
                raise UserError(f"{name} is {layers}; it names layers, each with a weight above 0")
        weights = self.style_weights
        if weights is not None and (not any(weights) or any(not 0 <= each < math.inf for each in weights)):
            raise UserError(f"style_weights is {list(weights)}; each must be 0 or above, one of them above 0")
