"""Results of a run: its results.json, with versions and commit."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from lightning_nn.runs.atomic_file import write_text


def save_results(path: Path, results: dict[str, Any], *, trained: bool = False) -> None:
    """Update results.json, written whole or not at all; earlier values that are not in `results` stay.

    Args:
        path: the file.
        results: values by name.
        trained: remove earlier test metrics, because the model has been trained further since.
    """
    old = load_results(path)
    if not old and path.is_file():
        print(f"{path} could not be read and is replaced", file=sys.stderr)
    kept = {key: value for key, value in old.items() if not (trained and key.startswith("test/"))}
    text = json.dumps({**kept, **results}, indent=2, ensure_ascii=False) + "\n"
    write_text(path, text)


def load_results(path: Path) -> dict[str, Any]:
    """Load results.json; empty if there is none, or if it can't be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    names = ("lightning-nn", "torch", "pytorch-lightning", "torchmetrics", "jieba", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of a checkout, with a plus if files were changed; None for an installed package."""
    package = Path(__file__).parent.parent
    try:
        # An environment may lie inside somebody else's repository.
        tracked = ["git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        describe = ["git", "-C", str(package), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
