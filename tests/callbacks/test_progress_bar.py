from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from lightning_nn.callbacks.progress_bar import ProgressBar
from tests.callbacks.test_progress import Terminal


def test_a_file_gets_position_rate_and_values() -> None:
    stream, values = io.StringIO(), list[str]()
    bar = ProgressBar(stream, "epoch 1", 10, every=0, values=lambda: values)
    bar.refresh()
    values.append("loss 0.100")
    bar.update(5)
    bar.close()
    first, second = stream.getvalue().splitlines()
    assert first == "epoch 1  0/10  0.0/s", "nothing is known of the time that is left"
    assert second.startswith("epoch 1  5/10  ") and second.endswith(" left  loss 0.100")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_nothing_is_drawn_before_the_first_step_or_after_the_end(stream: io.StringIO) -> None:
    bar = ProgressBar(stream, "test", None, every=0)
    assert stream.getvalue() == ""
    bar.update()
    assert stream.getvalue().startswith(("test  1/?", "\rtest 1 "))
    bar.close()
    drawn = stream.getvalue()
    bar.update()
    bar.refresh()
    assert stream.getvalue() == drawn


def test_a_terminal_is_left_as_it_was() -> None:
    stream = Terminal()
    bar = ProgressBar(stream, "epoch 1", 2, every=0, values=lambda: ["loss 1"])
    bar.begin_at(1, 2)
    bar.update()
    assert "2/2" in stream.screen()[0] and "loss 1" in stream.screen()[0]
    bar.clear()
    stream.write("epoch 1  loss 2\n")
    bar.refresh()
    assert stream.screen()[0] == "epoch 1  loss 2" and "2/2" in stream.screen()[1]
    bar.close()
    assert stream.screen() == ["epoch 1  loss 2", ""]


def test_time_that_was_spent_on_something_else_is_not_in_the_rate() -> None:
    bar = ProgressBar(io.StringIO(), "epoch 1", 10, every=1000)
    bar.update(5)
    bar.start_t -= 100  # training took so long
    bar.skip(50)
    assert bar.format_dict["elapsed"] == pytest.approx(50, abs=1)


def test_no_thread_watches_the_bar() -> None:
    before = threading.active_count()
    bar = ProgressBar(Terminal(), "epoch 1", 2, every=0)
    assert threading.active_count() == before
    bar.close()


def test_values_are_read_only_when_it_is_drawn() -> None:
    read: list[int] = []
    bar = ProgressBar(Terminal(), "epoch 1", 100, every=1000, values=lambda: read.append(1) or [])  # type: ignore[func-returns-value]
    for _ in range(100):
        bar.update()
    assert not read
    bar.close()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_that_says_nothing_of_its_lines_gets_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 57, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as stream, os.fdopen(leader, "rb", buffering=0) as screen:
        os.set_blocking(screen.fileno(), False)
        monkeypatch.setattr(sys, "stderr", stream)
        bar = ProgressBar(stream, "epoch 1", 2, every=0)
        bar.update()
        bar.close()
        assert "epoch 1 " in (screen.read(1000) or b"").decode("utf-8")
