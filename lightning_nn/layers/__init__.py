"""Plain torch.nn pieces that research code can copy one import from: no Lightning, no data set, no file."""

from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.divergence import symmetric_kl
from lightning_nn.layers.embedding import WordDropout, WordEmbedding
from lightning_nn.layers.ragged import (
    at_least_float32,
    segment_ids,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_starts,
    segment_sum,
)
from lightning_nn.layers.recurrent import FlatRNN, time_major
from lightning_nn.layers.upsampling import Upsampling, best_masks, bilinear_kernel

__all__ = [
    "ContextAttention",
    "FlatRNN",
    "Upsampling",
    "WordDropout",
    "WordEmbedding",
    "at_least_float32",
    "best_masks",
    "bilinear_kernel",
    "segment_ids",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_starts",
    "segment_sum",
    "symmetric_kl",
    "time_major",
]
