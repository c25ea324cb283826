"""Files of settings: the recipes of conf/, and those that a person names with -c."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.errors import UserError
from lightning_nn.runs.saved_settings import NAMES


class Names(NamedTuple):
    """What files say of the model and the data set; None where they don't."""

    model: str | None
    data: str | None


def recipe_folder() -> Path:
    """Where the recipes are: beside the code in a wheel, one folder up in a checkout."""
    package = Path(__file__).parent.parent
    beside = package / "conf"
    return beside if beside.is_dir() else package.parent / "conf"


def find_recipes(model: str, data: str) -> list[Path]:
    """The recipes of a model on a data set, later ones over earlier ones: MODEL.yaml, MODEL-DATA.yaml."""
    return [file for name in (model, f"{model}-{data}") if (file := recipe_folder() / f"{name}.yaml").is_file()]


def resolve(argument: str) -> str:
    """A recipe's file where only its name is given: `-c han-text-long.yaml`."""
    name = argument.removeprefix("conf/")
    if Path(argument).exists() or Path(name).name != name or not name.endswith(".yaml"):
        return argument
    file = recipe_folder() / name
    return str(file) if file.is_file() else argument


def read(file: str) -> dict[str, Any]:
    """What a file of settings says, as plain data.

    Raises:
        UserError: it can't be read, or is something else.
    """
    import yaml

    try:
        settings = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {' '.join(str(error).split())}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"{file}: expected settings by group, such as trainer: {{max_epochs: 3}}")
    return settings


def names_in(files: list[str]) -> Names:
    """The model and the data set that files name; a later file over an earlier one.

    Raises:
        UserError: one can't be read, or a name is none.
    """
    found: dict[str, str] = {}
    for file in files:
        said = read(file)
        for key in NAMES:
            if said.get(key) is None:
                continue
            if not isinstance(said[key], str):
                raise UserError(f"{file}: {key} is {said[key]}; it must be a name")
            found[key] = said[key]
    return Names(*(found.get(key) for key in NAMES))
