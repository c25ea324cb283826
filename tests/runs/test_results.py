from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT, environment


def test_the_commit_of_a_repository_around_an_installed_package_is_not_ours(tmp_path: Path) -> None:
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "theirs"], check=True)
    site = tmp_path / ".venv" / "site-packages"
    shutil.copytree(ROOT / "lightning_nn", site / "lightning_nn", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import lightning_nn.runs.results as r; print(r.__file__, r.commit())"
    env = environment({"PYTHONPATH": str(site)})
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == [str(site / "lightning_nn" / "runs" / "results.py"), "None"], done
