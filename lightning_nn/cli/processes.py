"""Processes of one run: they end together, on a signal or when one fails, and follow decisions of the first one."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

from lightning_nn.runs.run_folder import is_first_process

ALONE = 10.0  # seconds that a process has to end by itself after the one that started it
STUCK = 20.0  # seconds from the second Ctrl-C or SIGTERM until a process that has not reacted is ended

_PATIENCE = timedelta(minutes=1)  # for the first process to decide
_LOST = re.compile(r"Connection (closed|reset) by peer|Connection refused|Socket Timeout|remote process has terminated")


@contextmanager
def one_fate() -> Iterator[None]:
    """End this process in cases in which the others would otherwise wait for it.

    A process that another one started ends once that one has ended, for whatever reason. A process that waits for
    another inside a collective runs no Python signal handler; the second signal still ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    done = threading.Event()
    if not is_first_process():
        threading.Thread(target=_end_with, args=(os.getppid(), done), name="end-with-parent", daemon=True).start()
    counted, handlers = socket.socketpair()
    handlers.setblocking(False)
    before = signal.set_wakeup_fd(handlers.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_count_signals, args=(counted, done), name="count-signals", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        handlers.close()  # ends the thread that reads


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an error of a collective only reports that another process has ended."""
    return isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None


def _end_with(parent: int, done: threading.Event) -> None:
    """End this process some time after its parent."""
    while os.getppid() == parent:
        if done.wait(1):
            return
    if not done.wait(ALONE):
        os._exit(1)


def _count_signals(signals: socket.socket, done: threading.Event) -> None:
    """End this process if it is still there some time after the second signal to stop."""
    heard = 0
    with signals:
        while received := signals.recv(16):
            heard += sum(number in (signal.SIGINT, signal.SIGTERM) for number in received)
            if heard >= 2:
                break
        else:
            return
    if not done.wait(STUCK):
        os._exit(130)


def decided_once(name: str, decide: Callable[[], str]) -> str:
    """Decide in the first process and return its decision on every process.

    Processes that Lightning starts inherit the decision from the environment. Those of torchrun, which all run from
    the first line, read it from the store through which torchrun brings them together.

    Args:
        name: name of the environment variable that carries the decision.
        decide: called in the first process.
    """
    store = _torchrun_store()
    if is_first_process():
        os.environ[name] = decide()
        if store is not None:
            store.set(name, os.environ[name])
        return os.environ[name]
    if store is not None:
        return str(store.get(name).decode())
    return os.environ[name] if name in os.environ else decide()


def _torchrun_store() -> Any:
    """Return torchrun's own store; None if torchrun did not start this process, or has no store."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    import torch

    distributed = cast(Any, torch.distributed)  # which does not say that it exports its stores
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    run = f"{os.environ.get('TORCHELASTIC_RUN_ID')}/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}"
    return distributed.PrefixStore(
        f"lightning_nn/{run}", distributed.TCPStore(address, port, is_master=False, timeout=_PATIENCE)
    )
