"""Plain torch.nn pieces that research code can copy one import from: no Lightning, no data set, no file."""

from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.beam_search import Sentences, Vocabulary, beam_search, sample
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
from lightning_nn.layers.recurrent import FlatReLU, FlatRNN, select_state, time_major
from lightning_nn.layers.upsampling import Upsampling, best_masks, bilinear_kernel

__all__ = [
    "ContextAttention",
    "FlatRNN",
    "FlatReLU",
    "Sentences",
    "Upsampling",
    "Vocabulary",
    "WordDropout",
    "WordEmbedding",
    "at_least_float32",
    "beam_search",
    "best_masks",
    "bilinear_kernel",
    "sample",
    "segment_ids",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_starts",
    "segment_sum",
    "select_state",
    "time_major",
]
