"""The course's topics, a file each."""

import lightning_nn.compat  # noqa: F401
