"""How far two distributions are apart."""

from __future__ import annotations

import torch
from torch import Tensor


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """The mean of both Kullback-Leibler divergences, (KL(p|q) + KL(q|p)) / 2, the same in either order.

    Args:
        p: (B, K), each row a distribution.
        q: (B, K), likewise.

    Returns:
        (B,), 0 where the two are alike, in nats.
    """
    least = torch.finfo(p.dtype).tiny  # a probability that has become 0 has no logarithm
    return ((p - q) * (p.clamp_min(least).log() - q.clamp_min(least).log())).sum(1) / 2
