"""Memory that a computation needs and that a machine has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.errors import UserError

_LIMITS = {"/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current"}  # of a container
_SPARE = 0.9  # share of what is free that may be used


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None if the system doesn't tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None
    for limit, used in _LIMITS.items():
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return max(free, 0)


def require_memory(need: int, size: int, device: torch.device) -> str:
    """Return a line on the memory that pictures take.

    Args:
        need: bytes.
        size: longer side of the pictures, in pixels; the need grows with its square.
        device: the device that computes.

    Raises:
        UserError: less is free; the message has the largest size that fits.
    """
    free = free_memory(device)
    line = f"memory: about {in_words(need)} at {size} pixels" + (f", {in_words(free)} are free" if free else "")
    if free is not None and need > _SPARE * free:
        largest = int(size * (_SPARE * free / need) ** 0.5) // 8 * 8
        raise UserError(f"{line}; the largest size that fits is --model.size {largest}")
    return line


def destination(
    model: pl.LightningModule, trainer: pl.Trainer | None, images: Sequence[Tensor]
) -> tuple[torch.device, int]:
    """Return the device of a run and the bytes of a value there, before the model is moved and converted.

    Args:
        model: the model.
        trainer: of the run; None if the model is moved to its images.
        images: what it is trained on, if that is known.
    """
    assert isinstance(model.dtype, torch.dtype)
    if trainer is None:
        return next((image.device for image in images), model.device), model.dtype.itemsize
    widths = {"64-true": 8, "16-true": 2, "bf16-true": 2}
    return trainer.strategy.root_device, widths.get(str(trainer.precision), 4)


def in_words(count: int) -> str:
    """Write a number of bytes, such as 250 MB or 1.5 GB."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
