"""Networks that topics are built on, without their task."""

import lightning_nn.compat  # noqa: F401
