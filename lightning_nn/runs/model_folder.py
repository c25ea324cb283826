"""Model folders: what others need to use a trained model, as files that are read without running code.

model.safetensors   weights, as they are or in fewer bits
config.json         model, arguments of its constructor, settings, data
processor.json      what raw input becomes a batch by: vocabulary, categories, segmentation
README.md           model card
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.saved_settings import PATHS

TENSORS, CONFIG, PROCESSOR, CARD = "model.safetensors", "config.json", "processor.json", "README.md"
_LARGEST = 1 << 28  # bytes of a file of JSON


def is_model_folder(path: Path) -> bool:
    """Return whether a path is a folder that says which model it holds."""
    return (path / CONFIG).is_file()


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write config.json and processor.json.

    Args:
        folder: the model folder.
        description: plain data; its key "processor" goes into the second file.

    Raises:
        UserError: the folder can't be written.
    """
    config = {name: value for name, value in description.items() if name != "processor"}
    for name, content in ((CONFIG, config), (PROCESSOR, description["processor"])):
        write_text(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_description(folder: Path) -> dict[str, Any]:
    """Read config.json and processor.json as plain data, whose values are not checked.

    Raises:
        UserError: a file is missing, too large or damaged.
    """
    config, processor = (read_json(folder / name) for name in (CONFIG, PROCESSOR))
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG} is damaged: expected settings by name; copy or download it again")
    return {**config, "processor": processor}


def read_json(file: Path) -> Any:
    """Read a file of JSON of a model folder.

    Raises:
        UserError: it is missing, too large or damaged.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("too large")
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"can't read {file}, a part of the model folder: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{file} is damaged: it is no JSON; copy or download it again") from None


def without_paths(arguments: dict[str, Any], group: str) -> dict[str, Any]:
    """Leave out the arguments that name files of the machine a model was trained on.

    Args:
        arguments: of a constructor, plain data.
        group: of their options, such as "data".
    """
    kept = {}
    for name, value in arguments.items():
        option = f"{group}.{name}"
        if option not in PATHS:
            kept[name] = without_paths(value, option) if isinstance(value, dict) else value
    return kept


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` once the body is done.

    If there is a folder already, the files go into it and replace those of the same names; others stay. If the body
    raises, nothing changes.

    Raises:
        UserError: the folder can't be written.
    """
    place = Path(os.path.realpath(folder))
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        temporary.mkdir()
        yield temporary
        if place.is_dir():
            for file in sorted(temporary.iterdir()):
                file.replace(place / file.name)
        else:
            temporary.rename(place)
    except OSError as error:
        raise UserError(f"can't write {folder}: {error.strerror}; name another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
