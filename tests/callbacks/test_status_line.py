from __future__ import annotations

import io

from lightning_nn.callbacks.status_line import StatusLine, Task
from tests.callbacks.test_progress import Terminal


def test_a_file_gets_position_rate_and_values() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, heartbeat=0)
    line.begin(Task("epoch 1", total=10))
    assert line.due
    line.show([])
    line.task.done = 5
    line.show(["loss 0.100"])
    first, second = stream.getvalue().splitlines()
    assert first == "epoch 1  0/10  0.0/s", "nothing is known of the time that is left"
    assert second.startswith("epoch 1  5/10  ") and second.endswith(" left  loss 0.100")


def test_nothing_is_due_before_a_task_begins_or_after_it_ends() -> None:
    line = StatusLine(io.StringIO(), interval=0, heartbeat=0)
    assert not line.due
    line.begin(Task("test", total=None))
    assert line.due
    line.end()
    assert not line.due


def test_what_is_left_stands_above_the_moving_line() -> None:
    stream = Terminal()
    line = StatusLine(stream, interval=0)
    line.begin(Task("epoch 1", total=2, done=1))
    line.show(["loss 1"])
    line.leave(["epoch 1", "loss 2"])
    assert stream.screen() == ["epoch 1  loss 2", ""]
    line.show([])
    line.clear()
    assert stream.screen() == ["epoch 1  loss 2", ""]
