"""Base classes of the models, by kind of task."""

import lightning_nn.compat  # noqa: F401
