"""What came of a run: its results.json, and the closing table."""

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
    """Writes results.json whole; what it held before and is not in `results` stays.

    Args:
        path: the file.
        results: what to write.
        trained: the model has changed, so figures of a test there was are of another one: they go.
    """
    try:
        old = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError):
        print(f"{path} could not be read; it is written anew", file=sys.stderr)
        old = {}
    kept = {key: value for key, value in old.items() if not (trained and key.startswith("test/"))}
    text = json.dumps({**kept, **results}, indent=2, ensure_ascii=False) + "\n"
    write_text(path, text)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("lightning-nn", "torch", "pytorch-lightning", "torchmetrics", "jieba", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of a checkout, with a plus if it was changed; None for an installed package."""
    package = Path(__file__).parent.parent
    try:
        # An environment may lie inside somebody else's repository.
        tracked = ["git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        ask = ["git", "-C", str(package), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
