from __future__ import annotations

import torch
from torch.nn import functional as F

from lightning_nn.layers import divergence


def test_divergence_is_the_mean_of_both_kullback_leibler_divergences() -> None:
    p, q = (torch.randn(5, 3).softmax(1) for _ in range(2))
    both = [F.kl_div(b.log(), a, reduction="none").sum(1) for a, b in ((p, q), (q, p))]
    torch.testing.assert_close(divergence(p, q), (both[0] + both[1]) / 2)
    assert divergence(p, p).tolist() == [0.0] * 5
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)  # as softmax in float32 has them
    divergence(sure, sure.detach().flip(0)).sum().backward()
    assert sure.grad is not None and sure.grad.isfinite().all()
