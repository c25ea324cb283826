"""The verb `clean`: what runs and caches take on the disk, and removing some of it; without torch."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import NamedTuple

from lightning_nn.cli.console import show_table, show_text
from lightning_nn.cli.request import Request, refuse_options
from lightning_nn.cli.verbs import program
from lightning_nn.data import cache
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.run_folder import Run

_DAY = 86_400  # seconds


class _Usage(NamedTuple):
    """Space that a folder takes.

    Attributes:
        folder: the folder.
        size: in bytes.
        age: days since it was last changed.
    """

    folder: Path
    size: int
    age: float


def clean(request: Request) -> int:
    """List runs and caches, or remove those that are named.

    Returns:
        The exit code.

    Raises:
        UserError: what is named is no run or no kind of cache, is in use, or can't be removed.
    """
    options = request.options
    assert options is not None
    refuse_options(request, "data", "ckpt_path")
    entries = cache.entries()
    kinds = [*dict.fromkeys(entry.kind for entry in entries), "all"]
    if options.cache not in (None, *kinds):
        raise UserError(f"nothing is cached of a kind {options.cache!r}{nearest(options.cache, kinds)}")
    cached = [entry for entry in entries if _age(entry.built) >= options.older]
    if not options.runs and options.cache is None:
        _list(request, cached, options.older)
        return 0
    for usage in [_usage(run) for run in options.runs]:
        if usage.age >= options.older:
            Run(usage.folder).remove()
            show_text(f"removed {usage.folder}, {_bytes(usage.size)}", sys.stdout)
    for entry in cached:
        if options.cache in ("all", entry.kind):
            cache.remove(entry.folder)
            show_text(f"removed {entry.folder}, {_bytes(entry.size)}", sys.stdout)
    return 0


def _list(request: Request, cached: list[cache.Entry], older: float) -> None:
    """Print the runs, the largest first, then the kinds of caches, and how to remove them."""
    configs = Path(request.folder).glob(f"{request.model or '*'}/*/config.yaml")
    runs = [usage for config in configs if (usage := _usage(config.parent)).age >= older]
    runs.sort(key=lambda usage: usage.size, reverse=True)
    show_text(f"runs in {request.folder}: {len(runs)}, {_bytes(sum(usage.size for usage in runs))}", sys.stdout)
    if runs:
        rows = [(str(usage.folder), _bytes(usage.size), _days(usage.age)) for usage in runs]
        show_table([("run", "size", "changed"), *rows], sys.stdout)
    total = _bytes(sum(entry.size for entry in cached))
    print()
    show_text(f"cache in {cache.cache_folder()}: {len(cached)}, {total}", sys.stdout)
    kinds: dict[str, list[cache.Entry]] = {}
    for entry in cached:
        kinds.setdefault(entry.kind, []).append(entry)
    if kinds:
        cached_rows = [
            (kind, str(len(of_kind)), _bytes(sum(entry.size for entry in of_kind)), _days(_age(of_kind[-1].built)))
            for kind, entries in sorted(kinds.items())
            if (of_kind := sorted(entries, key=lambda entry: entry.built))
        ]
        show_table([("kind", "number", "size", "newest"), *cached_rows], sys.stdout)
    if runs:
        print(f"\nremove a run    {program()} clean {shlex.quote(str(runs[0].folder))}")
    if kinds:
        print(f"remove caches   {program()} clean --cache {next(iter(kinds))}, or --cache all")


def _usage(folder: Path) -> _Usage:
    """Measure a run's folder.

    Raises:
        UserError: it is none.
    """
    run = Run(folder)
    if not run.config.is_file():
        raise UserError(f"{folder} is no run: it has no {run.config.name}; {program()} clean lists the runs")
    changed = max(file.stat().st_mtime for file in folder.rglob("*"))
    return _Usage(folder, cache.size_of(folder), _age(changed))


def _age(changed: float) -> float:
    """Return the days since a time in seconds since 1970."""
    return max(0.0, (time.time() - changed) / _DAY)


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _days(age: float) -> str:
    return "today" if age < 1 else f"{age:.0f} day{'s' * (age >= 1.5)} ago"
