"""CIFAR-10: downloaded, from the official batches, or from folders of images."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import Index
from lightning_nn.data.cache import cache_folder, entry, fingerprint
from lightning_nn.data.images.conversion import ImageForm, Pixels
from lightning_nn.data.images.data_module import read_class_folders
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.images.labeled_images import ImageSet, LabeledImages
from lightning_nn.data.module import BatchSize
from lightning_nn.data.splits import Splits, stratified_split
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError
from lightning_nn.runs.weights_file import connection_timeout

CATEGORIES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_BATCH = 10_000  # images in a file
_LARGEST = 1 << 26  # bytes of a file; the official ones have 31 million
_FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_FORMAT = 2  # of the cache
_SPLIT_SEED = 0


class CIFAR10(LabeledImages):
    """60,000 images of 32x32 pixels in 10 classes (Krizhevsky 2009): 45,000 train, 5,000 val, 10,000 test.

    The validation split is split off the 50,000 training images, stratified by class, always the same ones. All images
    are decoded once and kept in the cache.

    Args:
        path: the official batches (the folder cifar-10-batches-py, the archive cifar-10-python.tar.gz, their binary
            version, or a folder with one of these), or a folder with `train/CLASS/*.png` and `test/CLASS/*.png`; null
            downloads the archive, 163 MiB, into the cache.
        batch_size: images in a batch; 1 is gradient descent on single images, "all" on the whole set.
        balanced: train on each class as often as on the largest one, repeating images.
        val_fraction: fraction of the 50,000 to split off for validation, 0 or above and below 1; with 0 the run has no
            validation, and its last checkpoint is tested.
        augment: random changes of training images.

    Example:
        >>> CIFAR10("cifar-10-batches-py", batch_size=128)  # reads it when it is prepared
        CIFAR10(path='cifar-10-batches-py', batch_size=128)
    """

    form = ImageForm(3, 32, 32, "squash")

    def __init__(
        self,
        path: str | None = None,
        batch_size: BatchSize = 64,
        balanced: bool = False,
        val_fraction: float = 0.1,
        augment: Augment = NO_AUGMENT,
    ) -> None:
        if not 0 <= val_fraction < 1:
            raise UserError(f"val_fraction is {val_fraction}; it must be 0 or above and below 1")
        self.path, self.val_fraction = path, val_fraction
        super().__init__(batch_size, balanced, augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Download or read what is not in the cache, and split off the validation split."""
        root = None if self.path is None else Path(self.path).expanduser()
        batches = None if root is None else _find_batches(root)
        if root is None:
            self.show(_read(entry(f"cifar10-official-{_FORMAT}", _download), self.val_fraction))
        elif batches is not None:
            self.show(_read(_cached(batches), self.val_fraction))
        else:
            self.show(self._read_folders(root))

    def _read_folders(self, root: Path) -> ImageSet:
        if not self.val_fraction:
            raise UserError(f"{root}: folders of images need a val_fraction above 0; 0 is for the official batches")
        folders = read_class_folders(
            root,
            self.form,
            Splits(self.val_fraction, 1 / 6, _SPLIT_SEED),
            scale=self.trained_scale,
            ground=self.trained_ground,
            only=self.evaluation_split,
        )
        if len(folders.categories) != len(CATEGORIES):
            raise UserError(
                f"{root}: {len(folders.categories)} class folders, but CIFAR-10 has 10; read other images with "
                "--data images"
            )
        return folders


def _read(folder: Path, val_fraction: float) -> ImageSet:
    """Load the official images from the cache and split them."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels, fingerprints = np.load(folder / "labels.npy"), np.load(folder / "fingerprints.npy")
    first_of_test = 5 * _BATCH
    indices = {"train": np.arange(first_of_test), "test": np.arange(first_of_test, len(labels))}
    if val_fraction:
        train, val = stratified_split(labels[:first_of_test], val_fraction, _SPLIT_SEED)
        indices = {"train": train, "val": val, "test": indices["test"]}
    notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
    return ImageSet(images, labels, indices, CATEGORIES, notes, [*SPLITS], fingerprints)


def _find_batches(root: Path) -> Path | None:
    """Find the folder or archive with the official batches; None if there are folders of images instead."""
    if not root.exists():
        raise UserError(f"{root}: no such file or folder; see --data.path")
    if root.is_file():
        return root
    for folder in (root, *(root / name for name in _FOLDERS)):
        if any((folder / file).is_file() for name in _MD5 for file in (name, f"{name}.bin")):
            return folder
    for name in ARCHIVES:
        if (root / name).is_file():
            return root / name
    if not (root / "train").is_dir():
        raise UserError(
            f"{root}: neither data_batch_1 and the other batches, nor {ARCHIVES[0]}, nor train/CLASS/*.png are in it"
        )
    return None


def _cached(batches: Path) -> Path:
    files = [batches] if batches.is_file() else [file for _, file in _files(batches)]
    return entry(f"cifar10-{fingerprint(files, {'format': _FORMAT})}", partial(_build, batches=batches))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """List the batch files of a folder with the names of their batches; the binary version ends in .bin."""
    listed = [(name, folder / file) for name in _MD5 for file in (name, f"{name}.bin")]
    return [(name, file) for name, file in listed if file.is_file()]


def _download(folder: Path) -> None:
    """Download with torchvision, which checks the archive and uses one that is there already."""
    from torchvision.datasets import cifar, utils  # type: ignore[import-untyped]

    official, place = cifar.CIFAR10, cache_folder()
    try:
        with connection_timeout(30):
            utils.download_url(official.url, str(place), official.filename, official.tgz_md5)
    except (OSError, RuntimeError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise UserError(
            f"can't download {official.url} ({error}): get it another way, MD5 {official.tgz_md5}, and put it at "
            f"{place / official.filename}, or give its path with --data.path"
        ) from error
    _build(folder, place / official.filename)


def _build(folder: Path, batches: Path) -> None:
    images = np.empty((6 * _BATCH, 3, 32, 32), np.uint8)
    labels = np.empty(6 * _BATCH, np.int64)
    missing, differing = list(_MD5), []
    seen: dict[str, str] = {}  # digest to file name
    for name, where, content in _contents(batches):
        rows = slice(_BATCH * list(_MD5).index(name), _BATCH * (list(_MD5).index(name) + 1))
        images[rows], labels[rows] = _parse(content, where)
        if name not in missing:
            raise UserError(f"{where}: a second {name}; unpack the official archive again")
        missing.remove(name)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest in seen:
            raise UserError(f"{where}: a copy of {seen[digest]}; unpack the official archive again")
        seen[digest] = name
        if digest != _MD5[name] and not where.endswith(".bin"):
            differing.append(name)
    if missing:
        raise UserError(f"{batches}: {', '.join(missing)} missing; unpack the official archive again")
    notes = []
    if differing:
        names = ", ".join(sorted(differing))
        notes.append(f"checksums differ from the official files, shapes and counts are right: {names}")
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "fingerprints.npy", np.fromiter(map(fingerprint_image, images), np.uint64, len(images)))
    (folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")


def _contents(batches: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, place and content of each batch file found in a folder or an archive."""
    if batches.is_dir():
        for name, file in _files(batches):
            _check_size(file.stat().st_size, str(file))
            yield name, str(file), file.read_bytes()
        return
    try:
        with tarfile.open(batches) as archive:
            for member in archive:
                where, name = f"{batches}: {member.name}", Path(member.name).name.removesuffix(".bin")
                _check_size(member.size, where)
                stream = archive.extractfile(member) if name in _MD5 and member.isfile() else None
                if stream is not None:
                    yield name, where, stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{batches}: not the archive cifar-10-python.tar.gz, or damaged ({reason})") from error


def _check_size(size: int, where: str) -> None:
    """Refuse a file that is no batch before it is read: packed, a few megabytes may become gigabytes."""
    if size > _LARGEST:
        raise UserError(f"{where}: {size:,} bytes, but the files of CIFAR-10 have 31 million at most")


def _parse(content: bytes, where: str) -> tuple[Pixels, Index]:
    """Parse a batch file into images (N, 3, 32, 32) and labels (N,)."""
    if where.endswith(".bin"):
        return _parse_binary(content, where)
    try:
        batch = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
        batch = {key if isinstance(key, bytes) else str(key).encode(): value for key, value in batch.items()}
        data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except Exception as error:  # a damaged pickle can raise any exception
        raise UserError(f"{where}: not a batch of CIFAR-10 ({error}); unpack the official archive again") from error
    if data.shape != (_BATCH, 3072) or data.dtype != np.uint8:
        raise UserError(f"{where}: data is {data.dtype} {data.shape}, expected uint8 {(_BATCH, 3072)}")
    if labels.shape != (_BATCH,) or labels.dtype.kind not in "iu":
        raise UserError(f"{where}: labels are {labels.dtype} {labels.shape}, expected {_BATCH} integers")
    _check_labels(labels, where)
    return data.reshape(_BATCH, 3, 32, 32), labels.astype(np.int64)


def _parse_binary(content: bytes, where: str) -> tuple[Pixels, Index]:
    """Parse a file of the binary version: for each image its label, a byte, and its 3,072 values."""
    if len(content) != _BATCH * 3073:
        raise UserError(
            f"{where}: {len(content):,} bytes, expected {_BATCH * 3073:,}; unpack the official archive again"
        )
    rows = np.frombuffer(content, np.uint8).reshape(_BATCH, 3073)
    _check_labels(rows[:, 0], where)
    return rows[:, 1:].reshape(_BATCH, 3, 32, 32), rows[:, 0].astype(np.int64)


def _check_labels(labels: Index | Pixels, where: str) -> None:
    if labels.min() < 0 or labels.max() > 9:
        raise UserError(f"{where}: labels go from {labels.min()} to {labels.max()}, expected 0 to 9")


def _latin1(text: str, encoding: str) -> bytes:
    """Restore bytes that Python 3 pickled in a form for Python 2; `_codecs.encode` itself would use any codec."""
    return text.encode("latin1")


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler of arrays and plain data only: the official files are pickles, and a pickle can run any code."""

    _makers: ClassVar[dict[str, Any]] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "core.multiarray._reconstruct": np.empty(0).__reduce__()[0],
        "core.numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
        "_codecs.encode": _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        for prefix in ("numpy._", "numpy."):  # NumPy 2 and 1
            if path.startswith(f"{prefix}core."):
                path = path.removeprefix(prefix)
        if path not in self._makers:
            raise pickle.UnpicklingError(f"it loads {module}.{name}, which a batch does not need")
        return self._makers[path]
