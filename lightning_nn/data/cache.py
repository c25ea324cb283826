"""Cache of what is built from data once: keyed by content, built by one process at a time, complete or absent."""

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
    """Return the folder of this key in the cache, built if it is not there.

    Of several processes one builds and the others wait. The folder gets its name only when all its contents are on
    the disk, so a killed build leaves nothing that could be mistaken for a complete one. A damaged entry, with a file
    missing or of another size, is rebuilt.

    Args:
        key: a file name; what goes into it determines when the entry is rebuilt (see `fingerprint`).
        build: fills the empty folder that it is passed.

    Returns:
        The complete folder. Its contents are never written again.

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


def is_cached(key: str) -> bool:
    """Return whether the cache has a complete entry of this key."""
    return _whole(cache_folder() / key)


def fingerprint(paths: Iterable[Path], settings: dict[str, Any]) -> str:
    """Compute a key from the contents of the files, their names below their common folder, and the settings.

    Args:
        paths: files.
        settings: plain data: whatever else determines what is built, including a number for the cache format.

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
    """Return whether all files are there with the sizes they were built with."""
    try:
        sizes = json.loads((folder / _SIZES).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _clean(root: Path, folder: Path) -> None:
    """Remove the damaged folder, and unfinished folders of killed builds, whose lock nobody holds."""
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
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows has no handle for a folder
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(root: Path, error: OSError) -> Exception:
    """Convert an error of the cache to a UserError; return any other, of files that a build reads, unchanged."""
    if error.errno == errno.ENOSPC:
        return UserError(f"the disk is full: {root} holds the cache; free space, or set LIGHTNING_NN_CACHE to another")
    if error.filename is None or str(error.filename).startswith(str(root)):
        return UserError(f"can't write the cache, {root}: {error.strerror}; set LIGHTNING_NN_CACHE to another folder")
    return error


def cache_folder() -> Path:
    """Return the folder of the cache: `$LIGHTNING_NN_CACHE`, else the user's cache folder."""
    folder = os.environ.get("LIGHTNING_NN_CACHE")
    return Path(folder) if folder else Path(platformdirs.user_cache_dir("lightning_nn", appauthor=False))
