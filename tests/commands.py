"""Command lines, given as a person gives them: in this process, where that is the same, or in one of their own."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from jsonargparse import ArgumentParser
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from lightning_nn.cli.main import main
from lightning_nn.cli.parser import CommandLine
from lightning_nn.data.images.cifar10 import CATEGORIES
from lightning_nn.visualization import confusion, mistakes
from tests.python_server import Forked, PythonServer

ROOT = Path(__file__).parent.parent
SERVER = PythonServer()
WHITE = np.full((8, 8, 3), 255, np.uint8)

_BUILD = CommandLine._build
_PARSERS: dict[tuple[Any, ...], ArgumentParser] = {}


class Result(NamedTuple):
    """Result of a command: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    def ok(self) -> Result:
        """Itself, if the command succeeded."""
        assert self.code == 0, f"exit code {self.code}\n{self.out[-2000:]}\n{self.err[-2000:]}"
        return self

    def refused(self, *words: str) -> Result:
        """Itself, if it was a person's slip: code 2, each word said on standard error in a few lines, no traceback."""
        assert self.code == 2, f"exit code {self.code}, expected 2\n{self.out[-2000:]}\n{self.err[-2000:]}"
        assert "Traceback" not in self.err and self.err.count("error: ") == 1, self.err
        message = self.err[self.err.index("error: ") :].strip()
        assert len(message.splitlines()) <= 3, f"too long for an error:\n{message}"
        missing = [word for word in words if word not in message]
        assert not missing, f"the message does not say {missing}:\n{message}"
        return self


def command(*argv: str, cwd: Path, stdin: bytes = b"", terminal: bool = False, drawn: bool = False) -> Result:
    """`train.py ARGV` in this process, which is left as it was.

    Figures stay white unless they are to be drawn, a parser is built once for all commands with the same options, and
    files are not synced with the disk: together that would take most of the time of a small run.
    """
    out, err = _Terminal() if terminal else io.StringIO(), io.StringIO()
    keyboard = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    with ExitStack() as stack:
        stack.enter_context(_inside(cwd))
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(mock.patch.object(sys, "stdin", keyboard))
        stack.enter_context(mock.patch.object(CommandLine, "_build", _build_once))
        stack.enter_context(mock.patch.object(os, "fsync", lambda descriptor: None))
        if not drawn:
            stack.enter_context(mock.patch.object(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer))
            for module in (confusion, mistakes):
                stack.enter_context(mock.patch.object(module, "picture", lambda *_: WHITE))
        for context in (warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err)):
            stack.enter_context(context)
        os.environ.pop("LIGHTNING_NN_RUN", None)
        code = main(list(argv))
    return Result(code, out.getvalue(), err.getvalue())


def _build_once(line: CommandLine, files: list[Path], defaults: dict[str, Any]) -> ArgumentParser:
    key = (
        line.task,
        line.data_module,
        line.request.verb if line.request.verb in ("validate", "test", "tune") else "",
        *((file, file.read_bytes()) for file in files),
        repr(sorted(defaults.items())),
    )
    if key not in _PARSERS:
        parser = _PARSERS[key] = _BUILD(line, files, defaults)
        computed = cache(parser.get_defaults)  # half of the time of a command that is refused
        parser.get_defaults = lambda *given, **named: deepcopy(computed(*given, **named))  # type: ignore[method-assign]
    return _PARSERS[key]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Started:
    """A process that was started, in a session of its own: its end, and what it has written where nobody reads it.

    Args:
        argv: a script, or "-c" and code, and its arguments.
        cwd: working folder.
        env: all of the environment.
        stdin: descriptor of standard input; by default it is empty.
        stdout: descriptor of standard output; by default it is kept for the result.
        stderr: descriptor of standard error, likewise.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self._streams = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115  closed by `result`
        given = zip(self._streams, (stdin, stdout, stderr), strict=True)
        ends = [file.fileno() if end is None else end for file, end in given]
        self.process: subprocess.Popen[bytes] | Forked
        if sys.platform == "linux":
            self.process = SERVER.start(argv, cwd, env, *ends)
        else:
            self.process = subprocess.Popen([sys.executable, *argv], -1, None, *ends, cwd=cwd, env=env)

    def result(self, timeout: float = 180) -> Result:
        """Wait until it has ended; a process that takes longer is killed with all that it has started."""
        try:
            code = self.process.wait(timeout)
        except BaseException:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        written = []
        for file in self._streams:
            with file:
                file.seek(0)
                written.append(file.read().decode(errors="replace"))
        return Result(code, *written[1:])


def start(
    *argv: str, cwd: Path, script: Path | str = ROOT / "train.py", env: Mapping[str, str] | None = None, **streams: int
) -> Started:
    """Start `python SCRIPT ARGV`, or, of a script as text, `python -c SCRIPT ARGV`."""
    line = ["-c", script] if isinstance(script, str) else [str(script)]
    return Started([*line, *argv], cwd, environment(env), **streams)


def process(
    *argv: str,
    cwd: Path,
    script: Path | str = ROOT / "train.py",
    env: Mapping[str, str] | None = None,
    timeout: float = 180,
    **streams: int,
) -> Result:
    """Run what `start` starts to its end."""
    return start(*argv, cwd=cwd, script=script, env=env, **streams).result(timeout)


def ranks(*argv: str, cwd: Path, script: Path | str = ROOT / "train.py", count: int = 2) -> list[Result]:
    """Run processes of one run, as `torchrun --nproc_per_node COUNT` would start them, and return their results."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    started = []
    for rank in map(str, range(count)):
        of_rank = {"RANK": rank, "LOCAL_RANK": rank, "ROLE_RANK": rank}
        started.append(start(*argv, cwd=cwd, script=script, env={**common, **of_rank}))
    return [each.result() for each in started]


def free_port() -> str:
    """A port of this machine that nothing listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of a process that computes with one thread and finds this checkout."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **(extra or {})}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def results(run: Path) -> dict[str, Any]:
    """A run's results.json."""
    loaded: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return loaded


def weights(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, by name."""
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return found


def same_bits(one: Path, other: Path) -> bool:
    """Tell whether two checkpoints hold the same weights and optimizer state to the bit."""
    a, b = (torch.load(file, weights_only=True) for file in (one, other))
    return all(_equal(a[key], b[key]) for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def reviews(rows: int = 60) -> list[tuple[str, str]]:
    """(text, label) of short Chinese reviews whose first sentence decides."""
    said = {"好评": "质量很好，非常满意。", "差评": "质量太差，非常失望。"}
    return [
        (f"{said[label]}第{row}次在这里买东西。", label) for row in range(rows) for label in [("好评", "差评")[row % 2]]
    ]


def write_reviews(file: Path, rows: int = 60) -> Path:
    """`reviews` as a CSV file with a header."""
    lines = ["text,label", *(f"{text},{label}" for text, label in reviews(rows))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_pictures(folder: Path) -> None:
    """Write three training images and one test image of each class of CIFAR-10."""
    for split, name, number in itertools.product(("train", "test"), CATEGORIES, range(3)):
        if split == "train" or number == 0:
            file = folder / split / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 50, 100)).save(file)


def write_street(folder: Path) -> None:
    """Write twelve images with masks of two classes."""
    for number, part in itertools.product(range(12), ("images", "masks")):
        image = Image.new("RGB" if part == "images" else "L", (48, 40), 1 if part == "masks" else (number, 50, 100))
        image.paste(0, (0, 0, 24, 20 + number))
        (folder / part).mkdir(parents=True, exist_ok=True)
        image.save(folder / part / f"{number}.png")


def write_described(folder: Path) -> None:
    """Write twenty images with a caption each."""
    folder.mkdir()
    lines = ["image,caption"]
    for number in range(20):
        name, colour = (("red", (200, 30, 30)), ("blue", (30, 30, 200)))[number % 2]
        Image.new("RGB", (64, 64), colour).save(folder / f"{number}.png")
        lines.append(f"{number}.png,a {name} square")
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
