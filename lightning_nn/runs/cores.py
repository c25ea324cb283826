"""Cores of the machine that other processes leave free."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # of its columns (proc(5)): idle, and waiting for a disk


class CoreTime(NamedTuple):
    """Seconds that the cores of the machine had spent at a moment.

    Attributes:
        moment: of a clock, in seconds.
        others: that all cores spent on other processes; None on a system that does not tell it.
    """

    moment: float
    others: float | None

    @classmethod
    def now(cls) -> CoreTime:
        """Read the seconds spent so far."""
        return cls(time.monotonic(), _seconds_of_others())

    def free(self) -> float | None:
        """Return how many cores other processes have left free since this moment, on average.

        Returns:
            Between 0 and the number of cores; None on a system that does not tell it.
        """
        now = CoreTime.now()
        if self.others is None or now.others is None or now.moment <= self.moment:
            return None
        cores = os.cpu_count() or 1
        return min(max(cores - (now.others - self.others) / (now.moment - self.moment), 0.0), float(cores))


def _seconds_of_others() -> float | None:
    try:
        ticks = [int(column) for column in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    busy = sum(ticks) - sum(ticks[column] for column in _IDLE)
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


AT_START = CoreTime.now()  # the command line imports this module first
