"""Callbacks: progress, checkpoints, early stopping, exact resume and logging of a run."""

import lightning_nn.compat  # noqa: F401
