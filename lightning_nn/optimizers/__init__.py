"""Optimizers that torch does not have."""

from lightning_nn.optimizers.muon import Muon, normalised_kernels, orthogonal
from lightning_nn.optimizers.row_wise import RowWiseAdam, RowWiseAdamW

__all__ = ["Muon", "RowWiseAdam", "RowWiseAdamW", "normalised_kernels", "orthogonal"]
