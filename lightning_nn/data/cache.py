"""Cache of what is built from data once: keyed by content, built by one process at a time, complete or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
from filelock import FileLock, Timeout

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text

_MANIFEST = "checksums.json"  # size and CRC-32 of each file, below a line with the CRC-32 of this list itself
_VERIFIED = "verified"  # times of change of the large files when they were last compared with their checksums
_SMALL = 1 << 24  # bytes; a file up to this size is compared each time it is opened, at 1.3 GB/s
_BLOCK = 1 << 20

_KEY = re.compile("[0-9a-f]{32}")
_LARGE = 1 << 26  # bytes; anything smaller is read in a tenth of a second
_SETTLED = 2.0  # seconds since the last change; within a tick of the clock a file could change unnoticed
_SAMPLES = 64  # blocks per file that are compared
_SAMPLE = 4096  # bytes per block
_SAMPLED = 1 << 20  # bytes from which blocks are compared; many small files are read as fast as sampled

_thorough = ContextVar("thorough", default=False)


def entry(key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of this key in the cache, built if it is not there.

    Of several processes one builds and the others wait. The folder gets its name only when all its contents are on the
    disk, so a killed build leaves nothing that could be mistaken for a complete one. An entry with a file that is
    missing, or of another size or checksum, is reported on standard error and rebuilt; so is the place of a new entry.
    The checksum of a large file is computed at the first use, where the file system says that the file has changed, and
    within `thorough_checks`.

    Args:
        key: a file name; what goes into it determines when the entry is rebuilt (see `fingerprint`).
        build: fills the empty folder that it is passed.

    Returns:
        The complete folder. What was built is never written again.

    Raises:
        UserError: the cache can't be written, or the disk is full.
    """
    root = cache_folder()
    folder = root / key
    if not _find_damage(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(folder)):
            if damage := _find_damage(folder):
                told = f"the cache {folder} is damaged ({damage}); building it again" if folder.exists() else ""
                print(told or f"building the cache {folder}", file=sys.stderr, flush=True)
                _clean(root, folder)
                _build(folder, build)
    except OSError as error:
        raise _unwritable(root, error) from error
    return folder


def is_cached(key: str) -> bool:
    """Return whether the cache has a complete entry of this key."""
    return not _find_damage(cache_folder() / key)


class Entry(NamedTuple):
    """An entry of the cache.

    Attributes:
        folder: its folder.
        kind: what it holds, such as text or scenes.
        size: bytes on the disk.
        built: when, in seconds since 1970.
    """

    folder: Path
    kind: str
    size: int
    built: float


def entries() -> list[Entry]:
    """Return all complete entries of the cache, each of which is built again when it is needed."""
    manifests = sorted(cache_folder().glob(f"*/{_MANIFEST}"))
    return [
        Entry(file.parent, file.parent.name.partition("-")[0], size_of(file.parent), file.stat().st_mtime)
        for file in manifests
    ]


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def remove(folder: Path) -> None:
    """Remove an entry. A process that has it open keeps what it reads, and none reads half of it.

    Args:
        folder: of the entry.

    Raises:
        UserError: the cache can't be written.
    """
    try:
        with FileLock(_lock(folder)):
            shutil.rmtree(folder)
    except OSError as error:
        raise _unwritable(cache_folder(), error) from error


@contextmanager
def thorough_checks(wanted: bool) -> Iterator[None]:
    """Compare every file of the entries that are opened with its checksum, large ones too.

    Args:
        wanted: False changes nothing.
    """
    token = _thorough.set(wanted or _thorough.get())
    try:
        yield
    finally:
        _thorough.reset(token)


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
            while block := stream.read(_BLOCK):
                digest.update(block)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def progress(steps: range, text: str) -> Iterator[int]:
    """Yield the steps, with a progress bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(steps, text, console=console, transient=True, disable=not console.is_terminal))


def _lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _find_damage(folder: Path) -> str:
    """Return what is wrong with an entry; "" if nothing is."""
    try:
        checksum, _, listed = (folder / _MANIFEST).read_bytes().partition(b"\n")
        if checksum != b"%08x" % zlib.crc32(listed):
            return f"{_MANIFEST} has changed"
        files = {folder / name: (size, crc) for name, (size, crc) in json.loads(listed).items()}
        stats = {file: file.stat() for file in files}
        large = [file for file, (size, _) in files.items() if size > _SMALL]
        state = str([(stats[file].st_ino, stats[file].st_mtime_ns, stats[file].st_ctime_ns) for file in large])
        verified = _read_or_nothing(folder / _VERIFIED) == state.encode()
        for file, (size, crc) in files.items():
            if stats[file].st_size != size:
                return f"{file.name} has {stats[file].st_size:,} bytes, not {size:,}"
            skipped = file in large and verified and not _thorough.get()
            if not skipped and _checksum(file) != crc:
                return f"the contents of {file.name} have changed"
    except OSError as error:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    if large and not verified:
        with suppress(OSError):  # another user's cache; the note only saves time
            (folder / _VERIFIED).write_text(state, encoding="ascii")
    return ""


def _read_or_nothing(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


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
        files = [file for file in partial.rglob("*") if file.is_file()]
        listed = {file.relative_to(partial).as_posix(): (file.stat().st_size, _checksum(file)) for file in files}
        text = json.dumps(listed).encode()
        (partial / _MANIFEST).write_bytes(b"%08x\n%b" % (zlib.crc32(text), text))
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
    file = str(error.filename or "")
    if not file or file.startswith(str(root)) or Path(file) in root.parents:
        return UserError(f"can't write the cache, {root}: {error.strerror}; set LIGHTNING_NN_CACHE to another folder")
    return error


def cache_folder() -> Path:
    """Return the folder of the cache: `$LIGHTNING_NN_CACHE`, else the user's cache folder."""
    folder = os.environ.get("LIGHTNING_NN_CACHE")
    return Path(folder) if folder else Path(platformdirs.user_cache_dir("lightning_nn", appauthor=False))


class _State(NamedTuple):
    path: str
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int
    samples: str


def remembered_fingerprint(paths: list[Path], settings: dict[str, Any]) -> str:
    """Return `fingerprint`, without reading large unchanged files again.

    A file counts as unchanged if its path, inode, size, modification time, inode change time (which can't be set by
    hand) and, from 1 MB, 64 blocks of its contents are as before. A change goes unnoticed only if it lies between these
    blocks, the file system keeps no inode change time (Windows, some network shares) and the modification time was set
    back.

    Args:
        paths: files.
        settings: plain data.
    """
    if sum(path.stat().st_size for path in paths) < _LARGE:
        return fingerprint(paths, settings)
    states = [_state(path) for path in paths]
    name = hashlib.blake2b(json.dumps([states, settings]).encode(), digest_size=16).hexdigest()
    memory = cache_folder() / "fingerprints" / name
    with suppress(OSError, UnicodeError):
        if _KEY.fullmatch(known := memory.read_text(encoding="ascii")):
            return known
    key = fingerprint(paths, settings)
    now = time.time()
    settled = all(max(state.modified, state.changed) / 1e9 < now - _SETTLED for state in states)
    if settled and [_state(path) for path in paths] == states:
        with suppress(UserError):  # the memory only saves time
            write_text(memory, key)
    return key


def _state(path: Path) -> _State:
    stat = path.stat()
    samples = _samples(path, stat.st_size) if stat.st_size >= _SAMPLED else ""
    real = os.path.realpath(path)
    return _State(real, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, samples)


def _samples(path: Path, size: int) -> str:
    """Hash blocks spread evenly over the file, including the first and the last."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * (size - _SAMPLE) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()
