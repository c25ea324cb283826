from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lightning_nn.layers import symmetric_kl


def test_it_is_the_mean_of_both_kullback_leibler_divergences() -> None:
    p, q = (torch.randn(5, 3).log_softmax(1) for _ in range(2))
    both = [F.kl_div(b, a, reduction="none", log_target=True).sum(1) for a, b in ((p, q), (q, p))]
    torch.testing.assert_close(symmetric_kl(p, q), (both[0] + both[1]) / 2)
    torch.testing.assert_close(symmetric_kl(p, q), symmetric_kl(q, p))
    assert symmetric_kl(p, p).tolist() == [0.0] * 5


@pytest.mark.parametrize("distance", [1.0, 90.0, 1000.0])
def test_answers_that_contradict_each_other_are_pulled_together_however_sure_they_are(distance: float) -> None:
    logits = torch.tensor([[0.0, distance]], requires_grad=True)
    apart = symmetric_kl(logits.log_softmax(1), logits.detach().flip(1).log_softmax(1))
    (apart.sum() * 65536).backward()  # as a gradient scaler in half precision begins
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert logits.grad[0, 1] > 0.5 > 0 > logits.grad[0, 0]
