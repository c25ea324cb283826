from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data import fingerprints
from lightning_nn.data.cache import fingerprint


def test_large_settled_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprints, "_LARGE", 1)
    path = tmp_path / "a.tsv"
    path.write_text("one", encoding="utf-8")
    read = []

    def counted(paths: list[Path], settings: dict[str, Any]) -> str:
        read.append(paths)
        return fingerprint(paths, settings)

    monkeypatch.setattr(fingerprints, "fingerprint", counted)
    keys = {fingerprints.remembered_fingerprint([path], {"a": 1}) for _ in range(2)}
    assert len(read) == 2, "a file that changed just now may change again within the tick of its clock"
    os.utime(path, ns=(0, 10**18))
    keys |= {fingerprints.remembered_fingerprint([path], {"a": 1}) for _ in range(3)}
    assert len(read) == 3
    assert len(keys) == 1
    assert fingerprints.remembered_fingerprint([path], {"a": 2}) not in keys
    path.write_text("two", encoding="utf-8")
    assert fingerprints.remembered_fingerprint([path], {"a": 1}) not in keys
