"""Python processes that begin with torch and Lightning imported: forks of a server, which imports them once.

A process of its own costs seconds for imports alone. What a fork keeps of such a process: memory, standard streams,
working folder, environment, signals, exit code and the interpreter's own end. What it lacks: the imports, an
environment that the interpreter reads at its start, and a seed of hashes other than the server's.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Besides all modules of the package: what they import once they run.
PRELOADED = (
    "attrs",
    "matplotlib.backends.backend_agg",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "sklearn.datasets.data",
    "tensorboard.plugins.hparams.plugin_data_pb2",
    "torch.utils.tensorboard",
)


class Forked:
    """A process that the server started, with the methods of `subprocess.Popen` that tests need.

    Args:
        pid: its number, and that of its session.
        status: end of a pipe; its exit status comes when it has ended.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self.returncode = pid, None
        self._status = status

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or the negative number of the signal that ended it, as soon as there is one.

        Raises:
            subprocess.TimeoutExpired: it lasts longer than that many seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """Return what `wait` does, or None as long as it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class PythonServer:
    """A server, started at its first use, which ends with the process that made this object."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: int, stdout: int, stderr: int
    ) -> Forked:
        """Start `python ARGV` in a session of its own.

        Args:
            argv: a script, or "-c" and code, and its arguments.
            cwd: working folder.
            env: all of the environment.
            stdin: descriptor of standard input.
            stdout: descriptor of standard output.
            stderr: descriptor of standard error.
        """
        if self._process is None:
            self._connection, theirs = socket.socketpair()
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=env,
                cwd=Path(__file__).parent.parent,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,  # pipes, as streams keep for good whether they can seek
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            theirs.close()
            atexit.register(self.end)
        status, end = os.pipe()
        task = json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env)}).encode()
        socket.send_fds(self._connection, [len(task).to_bytes(8, "big")], [stdin, stdout, stderr, end])
        self._connection.sendall(task)
        os.close(end)
        if not (pid := os.read(status, 8)):
            raise RuntimeError(self._process.communicate()[1].decode())
        return Forked(int(pid), status)

    def end(self) -> None:
        """End the server, not what it has started."""
        assert self._process
        self._connection.close()
        self._process.communicate()


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request; return the task in the process that is to do it."""
    while True:
        header, descriptors, *_ = socket.recv_fds(connection, 8, 4)
        if not header:
            os._exit(0)
        size = int.from_bytes(header, "big")
        task: dict[str, Any] = json.loads(connection.recv(size, socket.MSG_WAITALL))
        if not os.fork():
            connection.close()
            if _keep(descriptors):
                return task
        for descriptor in descriptors:
            os.close(descriptor)
        while _has_children() and os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(descriptors: list[int]) -> bool:
    """Fork once more; return in the new process alone, of which this one tells number and end."""
    status = descriptors.pop()
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        os.write(status, f"{pid:8}".encode())
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(status, str(ended).encode())
        os._exit(0)
    os.setsid()
    os.close(status)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return True


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _run(task: dict[str, Any]) -> None:
    """Do what the interpreter does with its environment and arguments."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where those that started the tests ignore it
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))  # Lightning reads it when it is imported
    rank_zero_only.rank = int(rank)  # type: ignore[attr-defined]
    encoding = os.environ.get("PYTHONIOENCODING") or "utf-8"
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding)  # type: ignore[union-attr]
    script, *rest = task["argv"]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if script == "-c":
        code, *rest = rest
        sys.argv, sys.path[:0] = ["-c", *rest], ["", *paths]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[:0] = [script, *rest], [str(Path(script).absolute().parent), *paths]
        runpy.run_path(script, run_name="__main__")


def _preload() -> None:
    import lightning_nn

    for module in pkgutil.walk_packages(lightning_nn.__path__, "lightning_nn."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in PRELOADED:
        importlib.import_module(name)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    _preload()
    gc.collect()
    gc.freeze()  # else the end of each fork walks through, and so copies, all that was imported
    _run(_serve(socket.socket(fileno=int(sys.argv[1]))))
