"""Models of the course, one topic per file."""

import lightning_nn.compat  # noqa: F401
