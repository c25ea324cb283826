"""What topics of one kind share."""

import lightning_nn.compat  # noqa: F401
