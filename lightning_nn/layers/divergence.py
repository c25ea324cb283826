"""Distributions over classes."""

from __future__ import annotations

from torch import Tensor


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The mean of both Kullback-Leibler divergences, (KL(p|q) + KL(q|p)) / 2, the same in either order.

    Args:
        log_p: (B, K), logarithms of probabilities, each row a distribution.
        log_q: (B, K), likewise.

    Returns:
        (B,), 0 where the two are alike, in nats.
    """
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2
