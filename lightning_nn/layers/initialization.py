"""First weights of a layer."""

from __future__ import annotations

from typing import Literal

from torch import nn

Init = Literal["zeros", "normal", "xavier", "kaiming", "orthogonal", "dirac"]


def initialise(layer: nn.Conv2d | nn.Linear, init: Init, deviation: float = 0.01) -> None:
    """Initialise the weights of a layer, and set its bias to zero.

    Args:
        layer: the layer.
        init: zeros; normal, N(0, deviation^2); xavier (Glorot and Bengio 2010); kaiming, which preserves the variance
            after a ReLU (He et al. 2015); orthogonal (Saxe et al. 2014); or dirac: the first kernels of a convolution
            copy its input (Zagoruyko and Komodakis 2017), all other weights are kaiming.
        deviation: of normal.
    """
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if init == "zeros":
        nn.init.zeros_(layer.weight)
    elif init == "normal":
        nn.init.normal_(layer.weight, std=deviation)
    elif init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    elif init == "orthogonal":
        nn.init.orthogonal_(layer.weight)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if init == "dirac" and isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight.data[: layer.weight.shape[1]])
