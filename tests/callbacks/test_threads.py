"""Threads of a training beside busy processes."""

import os
import time
from pathlib import Path

import pytest
import torch

from lightning_nn.callbacks.threads import Threads
from lightning_nn.runs import cores
from lightning_nn.runs.cores import CoreTime
from tests.callbacks.tiny import Data, Tiny, trainer


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    torch.set_num_threads(4)


def _taking(monkeypatch: pytest.MonkeyPatch, busy: float) -> CoreTime:
    """Return a moment ten seconds ago since which others have kept so many cores busy."""
    monkeypatch.setattr(cores, "_seconds_of_others", lambda: 100 + 10 * busy)
    return CoreTime(time.monotonic() - 10, 100.0)


def _fit(threads: Threads) -> None:
    trainer(threads, max_epochs=1).fit(Tiny(), datamodule=Data())


@pytest.mark.parametrize(("busy", "threads"), [(0.0, 4), (0.4, 4), (1.0, 3), (2.3, 2), (4.0, 1), (9.0, 1)])
def test_a_run_takes_as_many_threads_as_cores_are_free(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], busy: float, threads: int
) -> None:
    _fit(Threads(_taking(monkeypatch, busy)))
    assert torch.get_num_threads() == threads
    assert (f"{threads} of 4 threads" in capsys.readouterr().err) == (threads < 4)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_that_was_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "4")
    _fit(Threads(_taking(monkeypatch, 3.0)))
    assert torch.get_num_threads() == 4


def test_a_system_that_does_not_tell_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_seconds_of_others", lambda: None)
    _fit(Threads(CoreTime.now()))
    assert torch.get_num_threads() == 4


def test_processes_that_come_later_lower_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_nn.callbacks.threads._WATCHED", 0.0)
    taken = iter([100.0, 100.0, *[1e9] * 100])  # two readings at the start
    monkeypatch.setattr(cores, "_seconds_of_others", lambda: next(taken))
    _fit(Threads(CoreTime(time.monotonic() - 10, 100.0)))
    assert torch.get_num_threads() == 1


def test_a_resumed_run_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    _fit(first := Threads(_taking(monkeypatch, 2.0)))
    saved = first.state_dict()
    assert saved == {"threads": 2}
    torch.set_num_threads(4)
    resumed = Threads(_taking(monkeypatch, 0.0))
    resumed.load_state_dict(saved)
    _fit(resumed)
    assert torch.get_num_threads() == 2


def test_free_cores_are_those_that_others_do_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _taking(monkeypatch, 1.5).free() == pytest.approx(2.5, abs=0.01)
    assert _taking(monkeypatch, 7.0).free() == 0.0


def test_the_time_of_this_process_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  300 0 200 9999 8888 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")  # hundredths of a second
    monkeypatch.setattr(cores, "_STAT", stat)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    monkeypatch.setattr(os, "times", lambda: (1.0, 0.5, 0.25, 0.25, 77.0))
    assert CoreTime.now().others == pytest.approx(3.0)
    stat.unlink()
    assert CoreTime.now().others is None
