"""Attention by a learned context vector (Yang et al. 2016, section 2.2)."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_nn.layers.ragged import segment_softmax, segment_sum


class ContextAttention(nn.Module):
    """Attention that sums the rows of each segment by their similarity to a learned context vector.

        u_t = tanh(W h_t + b)                                   eq. 5, 8
        a_t = exp(u_t · u_c) / sum over the segment             eq. 6, 9
        s   = sum over the segment of a_t h_t                   eq. 7, 10

    Args:
        size: width of a row, E.
        attention_size: width of u, A.

    Raises:
        ValueError: a size below 1.

    Example:
        >>> summary, weights = ContextAttention(8, 4)(torch.randn(5, 8), torch.tensor([3, 2]))
        >>> summary.shape, weights.shape
        (torch.Size([2, 8]), torch.Size([5]))
    """

    def __init__(self, size: int, attention_size: int) -> None:
        super().__init__()
        if size < 1 or attention_size < 1:
            raise ValueError(f"attention over rows of {size} values by {attention_size}; both must be at least 1")
        self.projection = nn.Linear(size, attention_size)
        self.context = nn.Linear(attention_size, 1, bias=False)

    def forward(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute summaries and weights.

        Args:
            rows: (W, E), the rows of all segments, one after another.
            lengths: int64 (S,), rows of each segment, at least 1.

        Returns:
            Summaries (S, E), and weights (W,) that sum to 1 within each segment.
        """
        similarity = self.context(self.projection(rows).tanh()).squeeze(1)  # (W,)
        weights = segment_softmax(similarity, lengths)  # (W,)
        return segment_sum(weights.unsqueeze(1).to(rows.dtype) * rows, lengths), weights
