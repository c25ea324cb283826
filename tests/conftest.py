"""Ground of all tests: one thread, a cache of their own, nothing kept between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # whatever is set outside

# A module that imports one of these starts commands, processes or trainings.
STARTERS = {"command", "main", "process", "start", "ranks", "subprocess", "trainer", "pl"}
NOT_QUICK = ("seconds", "slow", "gpu")

settings.register_profile("tests", deadline=None, database=None, max_examples=30)
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder for each process of the tests, which subprocesses inherit."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_NN_CACHE", str(folder))
        yield folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark as quick whatever starts nothing, but what is marked otherwise."""
    for item in items:
        if not STARTERS & vars(item.module).keys() and not any(map(item.get_closest_marker, NOT_QUICK)):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Every test starts from the same random state, in any order; without torch there is none to set."""
    import sys

    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.manual_seed(0)
