"""Tables of a split in numbered shards, as Hugging Face's datasets store them: train-00000-of-00002.parquet."""

from __future__ import annotations

import re
from pathlib import Path

from lightning_nn.data.module import SPLITS
from lightning_nn.data.split_names import SPLIT_OF
from lightning_nn.data.text.rows import form_of
from lightning_nn.errors import UserError

_SHARD = re.compile(r"(?P<split>\w+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.[\w.]+")


def find_shards(path: Path) -> dict[str, list[Path]]:
    """Find the shards of each split in a folder, its `data` folder or its only folder with shards.

    Returns:
        The shards of each split in the order of their numbers; {} if there are none.

    Raises:
        UserError: a shard is missing, or several folders hold shards.
    """
    try:
        if not path.is_dir():
            return {}
    except (OSError, ValueError):  # no path at all, of which `find_texts` tells
        return {}
    if here := _shards(path):
        return here
    found = {folder: shards for folder in sorted(path.iterdir()) if folder.is_dir() and (shards := _shards(folder))}
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise UserError(f"{path}: {names} each hold a data set; give one of them: --data.path {next(iter(found))}")
    return next(iter(found.values()), {})


def _shards(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        shard = _SHARD.fullmatch(file.name)
        if shard and (split := SPLIT_OF.get(shard["split"].lower())) and form_of(file):
            found.setdefault(split, []).append(file)
    for files in found.values():
        last = _SHARD.fullmatch(files[-1].name)
        if last and len(files) != int(last["count"]):
            raise UserError(f"{files[-1]}: {len(files)} of {int(last['count'])} shards are there; add the others")
    return {split: found[split] for split in SPLITS if split in found}
