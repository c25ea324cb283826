"""Decisions of the first process of a command that the others follow, before they know of each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from lightning_nn.runs.run_folder import is_first_process

_PATIENCE = timedelta(minutes=1)


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
