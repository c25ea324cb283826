"""What the first process of a command decides and the others take, before they know of each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from lightning_nn.runs.run_folder import is_first_process

_PATIENCE = timedelta(minutes=1)


def decided_once(name: str, decide: Callable[[], str]) -> str:
    """Decides in the first process and hands the answer on, so that no process finds another for itself.

    Processes that Lightning starts inherit it from the environment; those of torchrun, which run from the first line,
    ask for it at the store through which torchrun brings them together.

    Args:
        name: of the variable that hands it on.
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
    """torchrun's own store; None where torchrun did not start this process, or keeps none."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    import torch

    distributed = cast(Any, torch.distributed)  # which does not say that it exports its stores
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    run = f"{os.environ.get('TORCHELASTIC_RUN_ID')}/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}"
    return distributed.PrefixStore(
        f"lightning_nn/{run}", distributed.TCPStore(address, port, is_master=False, timeout=_PATIENCE)
    )
