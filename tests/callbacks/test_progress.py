from __future__ import annotations

import io
import math
import os
import pickle
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.callbacks import progress
from lightning_nn.callbacks.progress import Progress, ProgressBar, columns
from tests.callbacks.tiny import Data, Tiny, trainer


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that are left, as a person sees them."""
        lines = []
        for raw in self.getvalue().split("\n"):
            row: list[str] = []
            for part in raw.split("\r"):
                row[: len(part)] = part
            lines.append("".join(row).rstrip())
        return lines

    def drawings(self) -> list[str]:
        return [part for part in re.split("[\r\n]", self.getvalue()) if part.strip()]


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


EPOCH = r"epoch {}/2  train/loss \d\.\d{{3}}  val/loss \d\.\d{{3}}  val/acc \d\.\d{{3}}  val/f1 0\.500  \d+\.\d s"


def test_a_file_gets_a_line_an_epoch_and_nothing_else() -> None:
    stream = io.StringIO()
    run = trainer(Progress(stream))
    run.fit(Tiny(), datamodule=Data())
    run.test(Tiny(), datamodule=Data(), verbose=False)
    run.predict(Tiny(), datamodule=Data())
    lines = lines_of(stream)
    assert len(lines) == 2, lines
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(EPOCH.format(number), line), line
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps() -> None:
    class Falling(Tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.output.weight.sum() * 0 + 10.0 * (batch_idx + 1)

    for accumulated in (1, 2):
        stream = io.StringIO()
        trainer(Progress(stream), max_epochs=1, accumulate_grad_batches=accumulated).fit(Falling(), datamodule=Data(4))
        assert "train/loss 25.000" in stream.getvalue(), stream.getvalue()


def test_many_losses_are_added_up_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "KEPT", 3)
    sizes = []

    class Watching(Progress):
        def on_train_batch_end(self, *arguments: Any) -> None:
            super().on_train_batch_end(*arguments)
            sizes.append(len(self._losses))

    trainer(Watching(io.StringIO()), max_epochs=1).fit(Tiny(), datamodule=Data(10))
    assert max(sizes) == 2, sizes


def test_a_long_epoch_gives_signs_of_life_in_a_file() -> None:
    stream = io.StringIO()
    trainer(Progress(stream, heartbeat=0), max_epochs=1).fit(Tiny(), datamodule=Data(3))
    lines = lines_of(stream)
    assert re.fullmatch(r"epoch 1/1  1/3  \d+\.\d/s  \d\d:\d\d left  loss \d\.\d{3}", lines[0]), lines
    assert any(line.startswith("validate  2/3") for line in lines), lines


def test_a_validation_within_an_epoch_gets_its_line_in_a_file() -> None:
    stream = io.StringIO()
    trainer(Progress(stream), max_epochs=1, val_check_interval=2).fit(Tiny(), datamodule=Data(4))
    lines = lines_of(stream)
    assert len(lines) == 2, lines
    assert lines[0].startswith("epoch 1/1  2/4  val/loss "), lines


def test_values_are_not_those_of_an_earlier_epoch() -> None:
    stream = io.StringIO()
    trainer(Progress(stream), check_val_every_n_epoch=2).fit(Tiny(), datamodule=Data())
    first, second = lines_of(stream)
    assert "val/" not in first and "val/acc" in second, (first, second)


def test_a_terminal_of_80_columns_holds_the_line() -> None:
    stream = Terminal()
    trainer(Progress(stream, interval=0), max_epochs=12, limit_val_batches=2).fit(Tiny(), datamodule=Data())
    drawings = stream.drawings()
    assert max(map(len, drawings)) <= 79, max(drawings, key=len)
    assert any(re.match(r"epoch 2/12 .*█.* 2/4 .*loss \d\.\d{3} val/acc \d\.\d{3} val/f1 0\.500", d) for d in drawings)
    assert any(d.startswith("validate") for d in drawings)
    screen = stream.screen()
    assert len(screen) == 13 and screen[-1] == "", screen
    assert all(line.startswith(f"epoch {i}/12 train/loss") or "  " in line for i, line in enumerate(screen[:-1], 1))


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_a_narrow_terminal_breaks_a_line_between_metrics(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "columns", lambda stream: width)
    stream = Terminal()
    trainer(Progress(stream, interval=1000), max_epochs=1).fit(Tiny(), datamodule=Data())
    lines = [line for line in stream.screen() if line]
    assert max(map(len, lines)) < width, lines
    assert len(lines) == {80: 1, 60: 2, 40: 3}.get(width, len(lines)), lines
    part = r"(epoch 1/1|\S+/\S+ \d+\.\d+|\d+\.\d+ s)"
    assert all(re.fullmatch(rf" *{part}( +{part})*", line) for line in lines), lines


def test_a_terminal_that_knows_no_blocks_gets_plain_characters() -> None:
    class Old(Terminal):
        encoding = "ascii"

    stream = Old()
    trainer(Progress(stream, interval=0)).fit(Tiny(), datamodule=Data())
    assert stream.getvalue().isascii(), stream.getvalue()


def test_drawing_and_reading_wait_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = Tensor.item
    monkeypatch.setattr(Tensor, "item", lambda self: read.append(1) or original(self))
    stream = Terminal()
    bar = Progress(stream, interval=1000)
    run = trainer(bar, max_epochs=1)
    run.fit(Tiny(), datamodule=Data(50))
    assert len(read) < 25, f"{len(read)} values read in 50 steps"
    assert not any("50" in d and "█" in d for d in stream.drawings())


def test_the_line_goes_before_anything_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    bar = Progress(stream, interval=0)

    class Talking(Tiny):
        def on_train_batch_end(self, *arguments: Any) -> None:
            self.print("hello")

    trainer(bar, max_epochs=1).fit(Talking(), datamodule=Data(2))
    assert capsys.readouterr().out == "hello\nhello\n"
    assert len(stream.screen()) == 2


class Broken(Tiny):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 2:
            raise RuntimeError("broken")
        return super().training_step(batch, batch_idx)


def test_an_error_finds_a_clean_line() -> None:
    stream = Terminal()
    with pytest.raises(RuntimeError, match="broken"):
        trainer(Progress(stream, interval=0)).fit(Broken(), datamodule=Data())
    assert stream.screen() == [""]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"fast_dev_run": True}, r"epoch 1/1 .* 1/1 "),
        ({"max_epochs": -1, "max_steps": 6}, r"epoch 2 .* 2/2 "),
        ({"max_epochs": None, "max_steps": 3, "accumulate_grad_batches": 2}, r"epoch 2 .* 2/2 "),
        ({"max_epochs": 1, "limit_val_batches": 0}, r"epoch 1/1 .* 4/4 "),
    ],
)
def test_the_number_of_batches_is_what_will_be_done(arguments: dict[str, Any], pattern: str) -> None:
    stream = Terminal()
    trainer(Progress(stream, interval=0), **arguments).fit(Tiny(), datamodule=Data(4))
    training = [d for d in stream.drawings() if d.startswith("epoch") and "train/loss" not in d]
    assert re.match(pattern, training[-1]), training


def test_data_without_an_end_has_no_total() -> None:
    class Endless(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            while True:
                yield Data(1).sources["train"][np.arange(2)]

    stream = Terminal()
    loader = torch.utils.data.DataLoader(Endless(), batch_size=None)
    run = trainer(Progress(stream, interval=0), max_epochs=1, limit_train_batches=3, max_steps=3)
    run.fit(Tiny(), loader, Data(1).loader())
    assert progress._batches(math.inf) is None
    assert any(re.match("epoch 1/1 .*3/3", d) for d in stream.drawings()), stream.drawings()


def test_a_resumed_epoch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class ResumableEarlyStopping(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
            if trainer.global_step == 3:
                trainer.save_checkpoint(tmp_path / "last.ckpt")

    trainer(ResumableEarlyStopping(), max_epochs=1).fit(Tiny(), datamodule=Data(6))
    stream = Terminal()
    run = trainer(Progress(stream, interval=0), max_epochs=1)
    run.fit(Tiny(), datamodule=Data(6), ckpt_path=tmp_path / "last.ckpt")
    drawings = stream.drawings()
    assert " 4/6 " in drawings[0] and " 6/6 " in [d for d in drawings if "/6 " in d][-1], drawings
    assert float(drawings[-1].split()[-2]) < 60, drawings[-1]


def test_evaluation_alone_is_shown_and_leaves_nothing() -> None:
    stream = Terminal()
    run = trainer(Progress(stream, interval=0))
    run.validate(Tiny(), datamodule=Data(), verbose=False)
    run.test(Tiny(), datamodule=Data(), verbose=False)
    run.predict(Tiny(), datamodule=Data())
    assert {d.split()[0] for d in stream.drawings()} == {"validate", "test", "predict"}
    assert stream.screen() == [""]


def test_other_processes_and_the_sanity_check_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    bar = Progress(stream, interval=0)
    run = trainer(bar)
    monkeypatch.setattr(type(run), "is_global_zero", property(lambda self: False))
    run.fit(Tiny(), datamodule=Data())
    assert stream.getvalue() == ""
    silent = io.StringIO()
    run = trainer(Progress(silent, heartbeat=0), max_steps=0, num_sanity_val_steps=2)
    run.fit(Tiny(), datamodule=Data())
    assert silent.getvalue() == ""


def test_the_default_stream_is_standard_error_and_can_travel(capsys: pytest.CaptureFixture[str]) -> None:
    bar = pickle.loads(pickle.dumps(Progress()))
    trainer(bar, max_epochs=1).fit(Tiny(), datamodule=Data())
    out, err = capsys.readouterr()
    assert out == "" and "epoch 1/1  train/loss" in err, err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_the_width_of_a_real_terminal_is_asked() -> None:
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as stream, os.fdopen(leader, "rb"):
        assert columns(stream) == 57


@pytest.mark.quick
@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.000"), (0.41234, "0.412"), (-2.5, "-2.500"), (1e-5, "1e-05"), (12345.6, "1.23e+04")]
)
def test_numbers_keep_three_digits(value: float, shown: str) -> None:
    assert progress._number(value) == shown


@pytest.mark.quick
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
