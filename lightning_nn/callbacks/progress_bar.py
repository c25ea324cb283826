"""tqdm's bar, which in a file is a plain line now and then."""

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
    """How far a task is: moves in a terminal and leaves nothing there, and is a line now and then in a file.

    Args:
        stream: where it goes.
        name: of the task, shown at its left.
        total: batches of it; None where there is no end.
        every: seconds without a drawing after which `update` draws.
        values: called for what stands behind the numbers, each time it is drawn.
    """

    monitor_interval = 0  # no thread of tqdm's

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
            nrows=20,  # asked of a terminal that does not know, tqdm would hide the bar
        )

    @property
    def format_dict(self) -> Any:
        """Everything that is drawn: tqdm's own, the width of the terminal as it is now, and the values."""
        own = super().format_dict
        own["bar_format"] = _ENDLESS if self.total is None else _FORMAT
        return {**own, "ncols": columns(self.fp) - 1, "postfix": " ".join(self.values())}

    def begin_at(self, done: int, total: int | None) -> None:
        """Say where the task stands before its first `update`.

        Args:
            done: batches that were done before, of which its rate knows nothing.
            total: batches of it; None where there is no end.
        """
        self.initial = self.n = self.last_print_n = done
        self.total = total

    def skip(self, seconds: float) -> None:
        """Leave out of the rate a time in which something else was done."""
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
        """Take the bar away from a terminal until it is drawn again."""
        if self.moves:
            super().clear(nolock)

    def close(self) -> None:
        """Take the bar away; nothing is drawn any more."""
        self.disable = self.disable or not self.moves  # in a file there is nothing to take away
        super().close()

    def _position(self) -> list[str]:
        """What is done, how many batches of it, how fast, and how long it will take."""
        rate = (self.n - self.initial) / max(super().format_dict["elapsed"], 1e-9)
        parts = [self.desc, f"{self.n}/{self.total or '?'}", f"{rate:.1f}/s"]
        if self.total is not None and rate > 0:
            parts.append(f"{self.format_interval((self.total - self.n) / rate)} left")
        return parts


ProgressBar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing


def columns(stream: Any) -> int:
    """Ask for the width of a terminal; 80 where there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
