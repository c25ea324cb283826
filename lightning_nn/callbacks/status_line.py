"""A line that moves in a terminal and is written now and then in a file."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

from tqdm import tqdm

INTERVAL = 0.2  # seconds between two drawings in a terminal
HEARTBEAT = 60.0  # seconds without a line after which a file gets one

_FORMAT = "{desc} {bar} {n_fmt}/{total_fmt} {rate_noinv_fmt} {remaining}{postfix}"
_ENDLESS = "{desc} {n_fmt} {rate_noinv_fmt} {elapsed}{postfix}"


@dataclass
class Task:
    """What the line is about.

    Attributes:
        name: shown at its left.
        total: batches of it; None where there is no end.
        first: batches that were done before it began; -1 where that is not known yet.
        done: batches done.
        start: when it began, on the monotonic clock.
    """

    name: str
    total: int | None
    first: int = 0
    done: int = 0
    start: float = field(default_factory=time.monotonic)


class StatusLine:
    """How far a task is.

    Args:
        stream: where it goes; None is standard error.
        interval: seconds between two drawings in a terminal, at least.
        heartbeat: seconds without a line after which one is written where there is no terminal.

    Attributes:
        task: what it is about; replace it to speak of something else.
        terminal: whether it goes to one, once a task has begun.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = INTERVAL, heartbeat: float = HEARTBEAT) -> None:
        self._given_stream, self._interval, self._heartbeat = stream, interval, heartbeat
        self._due, self._drawn = math.inf, ""
        self.terminal = False
        self.task = Task("", None)

    def begin(self, task: Task) -> None:
        """Speaks of a task from now on."""
        self.task, self.terminal = task, self._stream.isatty()
        if self.terminal or self._due == math.inf:
            self._wait()

    @property
    def due(self) -> bool:
        """Whether it is time to `show` something."""
        return time.monotonic() >= self._due

    def show(self, values: list[str]) -> None:
        """Draws the line, or writes one where there is no terminal.

        Args:
            values: what stands behind the numbers.
        """
        self._wait()
        task = self.task
        steps, elapsed = task.done - task.first, max(time.monotonic() - task.start, 1e-9)
        if not self.terminal:
            self._write("  ".join([*self._position(steps / elapsed), *values]) + "\n")
            return
        line = tqdm.format_meter(
            task.done,
            task.total or 0,  # 0 is none
            elapsed,
            ncols=self.columns - 1,
            prefix=task.name,
            unit="",
            initial=task.first,
            bar_format=_ENDLESS if task.total is None else _FORMAT,
            postfix=" ".join(values),
            ascii=not (getattr(self._stream, "encoding", None) or "").lower().startswith("utf"),
        )
        self._write("\r" + line.ljust(len(self._drawn)))
        self._drawn = line

    def leave(self, parts: list[str]) -> None:
        """Writes a line that stays, above the moving one."""
        self.clear()
        line = "  ".join(parts)
        self._write((line if not self.terminal or len(line) < self.columns else " ".join(parts)) + "\n")
        self._wait()

    def clear(self) -> None:
        """Takes the moving line away."""
        if self._drawn:
            self._write("\r" + " " * len(self._drawn) + "\r")
            self._drawn = ""

    def end(self) -> None:
        """Takes it away and shows nothing until a task begins."""
        self.clear()
        self._due = math.inf

    @property
    def columns(self) -> int:
        """Width of the terminal; 80 where there is none."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):
            return 80

    @property
    def _stream(self) -> TextIO:
        return self._given_stream or sys.stderr

    def _wait(self) -> None:
        self._due = time.monotonic() + (self._interval if self.terminal else self._heartbeat)

    def _position(self, rate: float) -> list[str]:
        """What is done, how many batches of it, how fast, and how long it will take."""
        task = self.task
        parts = [task.name, f"{task.done}/{task.total or '?'}", f"{rate:.1f}/s"]
        if task.total is not None and rate > 0:
            parts.append(f"{tqdm.format_interval((task.total - task.done) / rate)} left")
        return parts

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
