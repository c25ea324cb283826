"""A tqdm bar that writes plain lines to a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    Tqdm = tqdm[NoReturn]
else:
    Tqdm = tqdm

_FORMAT = "{desc} {bar} {n_fmt}/{total_fmt} {rate_noinv_fmt} {remaining}{postfix}"
_ENDLESS = "{desc} {n_fmt} {rate_noinv_fmt} {elapsed}{postfix}"


class ProgressBar(Tqdm):
    """Progress of a task: a moving bar that leaves nothing behind in a terminal, a line now and then in a file.

    Args:
        stream: output.
        name: of the task, shown at the left.
        total: batches of the task; None if it has no end.
        every: seconds without a drawing after which `update` draws.
        values: returns the texts shown after the counts; called for each drawing.
    """

    monitor_interval = 0  # no monitor thread

    def __init__(
        self,
        stream: TextIO,
        name: str,
        total: int | None,
        every: float,
        values: Callable[[], list[str]] = list,
    ) -> None:
        self.moves, self.values = stream.isatty(), values
        super().__init__(
            file=stream,
            desc=name,
            total=total,
            mininterval=every,
            miniters=1,
            delay=max(every, 1e-9),  # 0 would draw at once
            smoothing=0,
            leave=False,
            position=0,
            unit="",
            ncols=80,
            nrows=20,  # tqdm would hide the bar in a terminal that does not know its height
        )

    @property
    def format_dict(self) -> Any:
        """All that is drawn: tqdm's own items, the present width of the terminal, and the values."""
        own = super().format_dict
        own["bar_format"] = _ENDLESS if self.total is None else _FORMAT
        return {**own, "ncols": columns(self.fp) - 1, "postfix": " ".join(self.values())}

    def begin_at(self, done: int, total: int | None) -> None:
        """Set where the task starts, before the first `update`.

        Args:
            done: batches done earlier; the rate does not count them.
            total: batches of the task; None if it has no end.
        """
        self.initial = self.n = self.last_print_n = done
        self.total = total

    def skip(self, seconds: float) -> None:
        """Exclude time spent on something else from the rate."""
        if not self.disable:
            self.start_t += seconds
            self.last_print_t += seconds

    def display(self, msg: str | None = None, pos: int | None = None) -> bool | None:  # type: ignore[override]
        """Draw the bar in a terminal, or `msg`; write a line in a file."""
        if self.moves:
            return super().display(msg, pos)
        if msg is None:
            self.fp.write("  ".join([*self._position(), *self.values()]) + "\n")
            self.fp.flush()
        return False

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from a terminal until it is drawn again."""
        if self.moves:
            super().clear(nolock)

    def close(self) -> None:
        """Remove the bar for good."""
        self.disable = self.disable or not self.moves  # in a file there is nothing to remove
        super().close()

    def _position(self) -> list[str]:
        """Return the task's name, batches done, rate and remaining time."""
        rate = (self.n - self.initial) / max(super().format_dict["elapsed"], 1e-9)
        parts = [self.desc, f"{self.n}/{self.total or '?'}", f"{rate:.1f}/s"]
        if self.total is not None and rate > 0:
            parts.append(f"{self.format_interval((self.total - self.n) / rate)} left")
        return parts


ProgressBar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing


def columns(stream: Any) -> int:
    """Return the width of a terminal; 80 if there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
