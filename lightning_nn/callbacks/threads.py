"""Threads of a training on a CPU: as many as other processes leave cores for."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch

from lightning_nn.runs.cores import AT_START, CoreTime

_SET_BY_HAND = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_WATCHED = 20.0  # seconds between two looks at what other processes take


class Threads(pl.Callback):
    """Threads of a training on a CPU: as many as other processes leave cores for.

    Threads that share a core wait for each other at every operation, and spin while they wait: beside one busy process
    on two cores, a step of a small recurrent network has taken 40 times as long with two threads, 1.8 times with one.
    A run therefore starts with as many threads as cores are free, and lowers their number if other processes take
    these cores later. It never raises the number, and a resumed run keeps it: sums of another number of threads are
    rounded otherwise.

    Nothing changes on a GPU, with several processes, where OMP_NUM_THREADS is set, and on systems that do not tell
    what other processes take (they have no /proc/stat).

    Args:
        since: from when on the free cores are measured; by default from the start of the command.
    """

    def __init__(self, since: CoreTime = AT_START) -> None:
        self._since = since
        self._kept: int | None = None
        self._watches = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the number of threads, or take that of the resumed run."""
        by_hand = any(os.environ.get(name) for name in _SET_BY_HAND)
        self._watches = not by_hand and trainer.world_size == 1 and pl_module.device.type == "cpu"
        if self._watches and self._kept is not None:
            torch.set_num_threads(min(self._kept, os.cpu_count() or 1))
            self._since = CoreTime.now()
        else:
            self._lower(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lower the number of threads if other processes have taken their cores."""
        if time.monotonic() - self._since.moment >= _WATCHED:
            self._lower(pl_module)

    def _lower(self, pl_module: pl.LightningModule) -> None:
        free, threads = self._since.free(), torch.get_num_threads()
        self._since = CoreTime.now()
        if not self._watches or free is None or (fitting := max(round(free), 1)) >= threads:
            return
        torch.set_num_threads(fitting)
        pl_module.print(
            f"other processes leave {free:.1f} of {os.cpu_count()} cores free: {fitting} of {threads} threads "
            f"(OMP_NUM_THREADS={threads} keeps them)",
            file=sys.stderr,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of threads."""
        return {"threads": torch.get_num_threads()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the number of threads of the resumed run."""
        self._kept = max(int(state_dict["threads"]), 1)
