"""Image files: below folders and in zip archives, which are read without unpacking, by path or by name."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from lightning_nn.data.normalization import comparable
from lightning_nn.data.tables.folders import files_below, find_named_splits
from lightning_nn.data.tables.reading import suggest_encoding
from lightning_nn.errors import UserError

_TYPES = "avif bmp gif jfif jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp"
SUFFIXES = frozenset(f".{name}" for name in _TYPES.split(" "))

_UTF8 = 0x800  # flag of a name
_LARGEST = 1 << 28  # bytes of one image, packed by any camera


class ZipMember:
    """An image in a zip archive.

    Args:
        archive: the opened archive.
        member: the image in it.

    Attributes:
        name: of the image, without folders.
    """

    def __init__(self, archive: ZipFile, member: ZipInfo) -> None:
        self._archive, self._member = archive, member
        self.name = member.filename.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self._archive.filename}/{self._member.filename}"

    @property
    def stamp(self) -> tuple[str, int, int, int]:
        """Identity of a member: archive and name, size, and checksum."""
        archive = str(self._archive.filename).rpartition(os.sep)[2]
        return f"{archive}/{self._member.filename}", self._member.file_size, 0, self._member.CRC

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return the contents as a stream.

        Raises:
            BadZipFile: the member is damaged.
        """
        if self._member.file_size > _LARGEST:
            raise BadZipFile(f"it unpacks to {self._member.file_size >> 20} MB")
        return io.BytesIO(self._archive.read(self._member))


ImageFile = Path | ZipMember


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """List all files below a folder, in the order of their names.

    Hidden files and what macOS adds to archives are skipped; no folder is read twice, even if links lead there.

    Args:
        folder: searched to any depth.

    Returns:
        The images, by their suffix, and the other files.
    """
    return files_below(folder, SUFFIXES)


def named_images(names: Iterable[str]) -> list[Path]:
    """List the image files that names on a command line stand for, in their order.

    Args:
        names: files, folders whose images are all taken, and patterns such as photos/*.jpg.

    Raises:
        UserError: nothing is there, or there is no image in a folder.
    """
    files: list[Path] = []
    for name in names:
        paths = [Path(name)] if os.path.lexists(name) else sorted(map(Path, glob.glob(name)))  # noqa: PTH207
        if not paths:
            raise UserError(f"{name}: no such file or folder; see --data.file")
        for path in paths:
            images = sorted(image_files(path)[0]) if path.is_dir() else [path]
            if not images:
                raise UserError(f"{path}: no images in this folder; see --data.file")
            files += images
    return list(dict.fromkeys(files))


class ImageIndex:
    """Images by what a table calls them: files below a folder and, if wanted, members of the zip archives there.

    Args:
        root: searched to any depth.
        archives: whether to look into zip archives.

    Attributes:
        files: all images, in the order of their names.

    Raises:
        UserError: a zip archive is damaged.
    """

    def __init__(self, root: Path, *, archives: bool = False) -> None:
        self.root = root
        images, others = files_below(root, SUFFIXES)
        self.files: list[ImageFile] = [*images]
        for other in others if archives else ():
            if other.suffix.lower() == ".zip":
                self.files += zip_members(other, SUFFIXES)
        self._by_name: dict[str, list[ImageFile]] = {}
        for file in self.files:
            name = comparable(file.name)
            for key in {name, name.rpartition(".")[0]}:
                self._by_name.setdefault(key, []).append(file)
        self._splits: dict[Path, str | None] = {}

    def holds(self, name: str) -> bool:
        """Return whether there is an image of this name, or several."""
        return bool(self._called(PurePosixPath(name.strip().replace("\\", "/"))))

    def find(self, name: str, folder: Path | None = None, split: str | None = None) -> list[ImageFile]:
        """Return the images that a name means: one, none, or several if it is not clear which.

        Accents may be written as one character or two, letters in either case, suffixes of images left out. Only the
        last folders of a path need to be right.

        Args:
            name: as in a table.
            folder: of that table, from which the name may lead to the image; None to ignore it.
            split: of the table; images below the folder of another split are taken only if there are no others.
        """
        path = PurePosixPath(name.strip().replace("\\", "/"))
        images = self._called(path)
        if len(images) < 2:
            return images
        near, ending = os.path.normpath(folder / path) if folder else "", "/" + str(path).lstrip("/")
        most = max(_common_end(path, file) for file in images)
        for is_closer in (
            lambda file: os.path.normpath(str(file)) == near,
            lambda file: f"/{Path(str(file)).as_posix()}".endswith(ending),
            lambda file: _common_end(path, file) == most,
            lambda file: file.name == path.name,
            lambda file: split is None or self._split(Path(str(file)).parent) in (None, split),
        ):
            images = [file for file in images if is_closer(file)] or images
        return images

    def _called(self, path: PurePosixPath) -> list[ImageFile]:
        stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
        return self._by_name.get(comparable(path.name)) or self._by_name.get(comparable(stem)) or []

    def _split(self, folder: Path) -> str | None:
        """Return the split that a folder, or one around it, is named after."""
        if folder == self.root:
            return None
        if folder not in self._splits:
            named = next(iter(find_named_splits(folder.parent, [folder])), None)
            self._splits[folder] = self._split(folder.parent) or named
        return self._splits[folder]


def _common_end(path: PurePosixPath, file: ImageFile) -> int:
    """Count the folders before the name that a path of a table and that of a file have in common."""
    count = 0
    for one, other in zip(reversed(path.parts[:-1]), reversed(Path(str(file)).parts[:-1]), strict=False):
        if comparable(one) != comparable(other):
            break
        count += 1
    return count


def stamp(file: ImageFile, root: Path) -> tuple[str, int, int, int]:
    """Return what tells a file from another: its name below `root`, size, modification and inode change time."""
    if isinstance(file, ZipMember):
        return file.stamp
    name = str(file).removeprefix(str(root))  # `relative_to` is slow for tens of thousands of files
    try:
        stat = file.stat()
    except OSError:  # a broken link; reading reports it
        return name, 0, 0, 0
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _name(member: ZipInfo) -> str:
    """Return the name of a member; without the flag that says UTF-8 it is that all the same, or Chinese, or DOS's."""
    if member.filename.isascii() or member.flag_bits & _UTF8:
        return member.filename
    raw = member.filename.encode("cp437")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("gb18030") if suggest_encoding(raw) == "gb18030" else member.filename


def zip_members(archive: Path, suffixes: Collection[str]) -> list[ZipMember]:
    """List the files of some suffixes in a zip archive; folders, hidden files and what macOS adds are left out.

    Args:
        archive: the file.
        suffixes: in lower case.

    Raises:
        UserError: the archive is damaged, or not complete.
    """
    try:
        opened = ZipFile(archive)
    except (BadZipFile, OSError) as error:
        raise UserError(f"{archive}: can't be read as a zip archive ({error}); copy it again") from None
    members = []
    for member in opened.infolist():
        member.filename = _name(member)
        path = PurePosixPath(member.filename)
        visible = not any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if visible and not member.is_dir() and path.suffix.lower() in suffixes:
            members.append(ZipMember(opened, member))
    return members
