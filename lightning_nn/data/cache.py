"""What is built from data once and kept: keyed by content, built by one process at a time, complete or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from lightning_nn.errors import UserError

_SIZES = "sizes.json"


def entry(key: str, build: Callable[[Path], None]) -> Path:
    """The folder of this key in the cache, built if it is not there.

    Processes that ask at once wait for the one that builds. The folder gets its name only when everything in it is on
    the disk, so a build that is killed half-way leaves nothing that could be mistaken for a whole one. An entry that
    was damaged since, a file of it missing or of another size, is built anew.

    Args:
        key: a file name; what goes into it decides when the entry is built anew (see `fingerprint`).
        build: fills the empty folder it is given.

    Returns:
        The folder, whole. What is in it is never written again.

    Raises:
        UserError: the cache can't be written, or the disk is full.
    """
    root = cache_folder()
    folder = root / key
    if _whole(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(folder)):
            if not _whole(folder):
                _clean(root, folder)
                _build(folder, build)
    except OSError as error:
        raise _unwritable(root, error) from error
    return folder


def fingerprint(paths: Iterable[Path], settings: dict[str, Any]) -> str:
    """A key that changes with the contents of the files, their names below their common folder, and the settings.

    Args:
        paths: files.
        settings: plain data: whatever else decides what is built, a number for the format of the cache among it.

    Returns:
        32 hexadecimal digits.
    """
    files = sorted(Path(path).absolute() for path in paths)
    common = os.path.commonpath([file.parent for file in files]) if files else ""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        name = file.relative_to(common).as_posix().encode("utf-8", "surrogateescape")
        digest.update(b"%d:%b%d:" % (len(name), name, file.stat().st_size))
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def _lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _whole(folder: Path) -> bool:
    """Whether all files are there in the sizes they were built with."""
    try:
        sizes = json.loads((folder / _SIZES).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _clean(root: Path, folder: Path) -> None:
    """Removes the damaged folder, and what killed builds of others left: unfinished folders whose lock nobody holds."""
    shutil.rmtree(folder, ignore_errors=True)
    for partial in root.glob("*.partial"):
        if partial == _partial(folder):
            continue
        try:
            with FileLock(_lock(partial.with_suffix("")), timeout=0):
                shutil.rmtree(partial, ignore_errors=True)
        except Timeout:
            continue


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        sizes = {p.relative_to(partial).as_posix(): p.stat().st_size for p in partial.rglob("*") if p.is_file()}
        (partial / _SIZES).write_text(json.dumps(sizes), encoding="utf-8")
        for path in [*partial.rglob("*"), partial]:
            _sync(path)
        partial.replace(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows has no handle for a folder
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(root: Path, error: OSError) -> Exception:
    """An error about the cache in words; any other, of the files that a build reads, as it is."""
    if error.errno == errno.ENOSPC:
        return UserError(f"the disk is full: {root} holds the cache; make room, or set LIGHTNING_NN_CACHE to another")
    if error.filename is None or str(error.filename).startswith(str(root)):
        return UserError(f"can't write the cache, {root}: {error.strerror}; set LIGHTNING_NN_CACHE to another folder")
    return error


def cache_folder() -> Path:
    """Where what was built from data is kept: `$LIGHTNING_NN_CACHE`, else the user's cache folder."""
    folder = os.environ.get("LIGHTNING_NN_CACHE")
    return Path(folder) if folder else Path(platformdirs.user_cache_dir("lightning_nn", appauthor=False))
