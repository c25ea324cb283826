"""Data sets, a file each, and the parts they share."""

import lightning_nn.compat  # noqa: F401
