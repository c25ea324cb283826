"""What a run leaves on disk."""

import lightning_nn.compat  # noqa: F401
