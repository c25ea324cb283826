"""Pictures that captions name: files below a folder, and members of the zip archives there."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from lightning_nn.data.class_folders import files_below
from lightning_nn.data.images.archive import zip_members
from lightning_nn.data.images.reading import ImageFile
from lightning_nn.data.images.source import SUFFIXES
from lightning_nn.errors import UserError


class Pictures:
    """Pictures by name.

    Args:
        root: searched to any depth.

    Raises:
        UserError: there is no picture, or a zip archive is damaged.
    """

    def __init__(self, root: Path) -> None:
        found, others = files_below(root, SUFFIXES)
        self.files: list[ImageFile] = list(found)
        for archive in others:
            if archive.suffix.lower() == ".zip":
                self.files += zip_members(archive, SUFFIXES)
        if not self.files:
            raise UserError(f"{root}: no pictures in this folder or in zip archives there; name theirs: --data.images")
        self._root = root
        self._by_name: dict[str, list[ImageFile]] = {}
        for file in self.files:
            for name in dict.fromkeys((file.name, PurePosixPath(file.name).stem)):
                self._by_name.setdefault(name, []).append(file)

    def find(self, name: str) -> ImageFile | None:
        """Return the picture of a name, with or without folders and suffix; None if there is none.

        Raises:
            UserError: several pictures have this name.
        """
        parts = PurePosixPath(name.replace("\\", "/"))
        stem = parts.stem if parts.suffix.lower() in SUFFIXES else parts.name
        found = self._by_name.get(parts.name) or self._by_name.get(stem) or []
        if len(found) > 1:
            ending = "/" + str(parts).lstrip("/")
            found = [file for file in found if f"/{Path(str(file)).as_posix()}".endswith(ending)] or found
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} are both called {name!r}; keep one, or name their folders too")
        return found[0] if found else None
