from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data import cache
from lightning_nn.data.cache import fingerprint


def test_large_settled_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_LARGE", 1)
    path = tmp_path / "a.tsv"
    path.write_text("one", encoding="utf-8")
    read = []

    def counted(paths: list[Path], settings: dict[str, Any]) -> str:
        read.append(paths)
        return fingerprint(paths, settings)

    monkeypatch.setattr(cache, "fingerprint", counted)
    keys = {cache.remembered_fingerprint([path], {"a": 1}) for _ in range(2)}
    assert len(read) == 2, "a file that changed just now may change again within the tick of its clock"
    os.utime(path, ns=(0, 10**18))
    assert cache.remembered_fingerprint([path], {"a": 1}) in keys
    assert len(read) == 3, "the time of its inode is that of just now"
    read.pop()
    monkeypatch.setattr(cache, "_SETTLED", -1.0)
    keys |= {cache.remembered_fingerprint([path], {"a": 1}) for _ in range(3)}
    assert len(read) == 3
    assert len(keys) == 1
    assert cache.remembered_fingerprint([path], {"a": 2}) not in keys
    path.write_text("two", encoding="utf-8")
    assert cache.remembered_fingerprint([path], {"a": 1}) not in keys


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of change that can't be set")
@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_change_that_keeps_size_and_time_is_seen(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_LARGE", 1)
    monkeypatch.setattr(cache, "_SETTLED", -1.0)
    path = tmp_path / "a.tsv"
    path.write_bytes(b"one")
    before = path.stat()
    key = cache.remembered_fingerprint([path], {})
    if how == "replaced":
        (tmp_path / "b").write_bytes(b"two")
        (tmp_path / "b").replace(path)
    else:
        path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.remembered_fingerprint([path], {}) != key


@pytest.mark.parametrize("place", [0, 40_000, (2 << 20) - 1])
def test_without_a_time_of_the_inode_samples_of_the_contents_tell(place: int, tmp_path: Path) -> None:
    """As on Windows and some network shares; a change between the samples is what stays unseen there."""
    path = tmp_path / "a"
    contents = bytearray(2 << 20)
    path.write_bytes(contents)
    before = cache._state(path)
    contents[place] = 1
    path.write_bytes(contents)
    times = {"modified": 0, "changed": 0, "inode": 0}
    seen = cache._state(path)._replace(**times) != before._replace(**times)
    step = ((2 << 20) - 4096) / 63
    assert seen == (place % step < 4096)
