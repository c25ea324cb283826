"""Files of settings: the recipes in conf/, and files named with -c."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.errors import UserError
from lightning_nn.runs.saved_settings import NAMES


class Names(NamedTuple):
    """Model and data set that files of settings name; None where they name none."""

    model: str | None
    data: str | None


def recipe_folder() -> Path:
    """Return the folder of the recipes: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    beside = package / "conf"
    return beside if beside.is_dir() else package.parent / "conf"


def find_recipes(model: str, data: str) -> list[Path]:
    """Find the recipes of a model on a data set: MODEL.yaml, and MODEL-DATA.yaml, which overrides it."""
    return [file for name in (model, f"{model}-{data}") if (file := recipe_folder() / f"{name}.yaml").is_file()]


def resolve(argument: str) -> str:
    """Return the file of a recipe that is given by name, `-c han-text-long.yaml`; any other argument unchanged."""
    name = argument.removeprefix("conf/")
    if Path(argument).exists() or Path(name).name != name or not name.endswith(".yaml"):
        return argument
    file = recipe_folder() / name
    return str(file) if file.is_file() else argument


def read(file: str) -> dict[str, Any]:
    """Read a file of settings as plain data.

    Raises:
        UserError: the file can't be read, or holds something else.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader that refuses a key that stands twice in a mapping."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            if twice := [key for key, count in keys.items() if count > 1]:
                raise yaml.YAMLError(f"the key {twice[0]} stands twice in one group; keep one of them")
            return super().construct_mapping(node, deep)

    try:
        settings = yaml.load(Path(file).read_text(encoding="utf-8"), Loader)
    except RecursionError:
        raise UserError(f"can't read {file}: its lists or groups are nested too deep") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {' '.join(str(error).split())}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"{file}: expected settings by group, such as trainer: {{max_epochs: 3}}")
    return settings


def names_in(files: list[str]) -> Names:
    """Read the model and the data set that files name; a later file overrides an earlier one.

    Raises:
        UserError: a file can't be read, or a name is not a text.
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
