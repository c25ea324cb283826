"""What a run shows and keeps."""

import lightning_nn.compat  # noqa: F401
