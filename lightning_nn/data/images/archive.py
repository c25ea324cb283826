"""Images in zip archives, read like files without unpacking the archive."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from lightning_nn.data.tables.reading import suggest_encoding
from lightning_nn.errors import UserError

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
    found = []
    for member in opened.infolist():
        member.filename = _name(member)
        path = PurePosixPath(member.filename)
        visible = not any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if visible and not member.is_dir() and path.suffix.lower() in suffixes:
            found.append(ZipMember(opened, member))
    return found
