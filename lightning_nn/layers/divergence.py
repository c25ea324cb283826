"""Divergence of two distributions."""

from __future__ import annotations

from torch import Tensor


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Compute the mean of both Kullback-Leibler divergences, (KL(p|q) + KL(q|p)) / 2; symmetric in p and q.

    Args:
        log_p: (B, K), log-probabilities, each row a distribution.
        log_q: (B, K), likewise.

    Returns:
        (B,), in nats, 0 where both are equal.
    """
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2
