"""The part of a command line that can be parsed without torch."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import shlex
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn import catalog
from lightning_nn.cli.verbs import VERBS, has_own_options
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.saved_settings import NAMES
from lightning_nn.sanitize import sanitize

OPTIONS = ("--model", "--data", "--ckpt_path", "--finetune", "--folder", "--name")
_CONFIG = ("-c", "--config")


class Request(NamedTuple):
    """Parsed part of a command line, and the rest.

    Attributes:
        verb: a key of VERBS; empty: fit, then test.
        model: name of the model in the catalog; None if the checkpoint decides it.
        data: name of the data set, likewise.
        ckpt_path: last, best or a file.
        finetune: weights that a new run starts from: last, best, imagenet, embedded or a file.
        folder: folder of all runs.
        name: name of the run's folder; None for the time.
        help: "", "own" (options of the model and the data) or "trainer".
        imports: the user's own modules that were imported.
        print_config: print the settings and do nothing else.
        rest: arguments for the parser of the model's options.
        argv: the whole command line, without the program's name.
        options: options of a verb that has its own; None for the others.
    """

    verb: str
    model: str | None
    data: str | None
    ckpt_path: str | None
    finetune: str | None
    folder: str
    name: str | None
    help: str
    imports: list[str]
    print_config: bool
    rest: list[str]
    argv: list[str]
    options: Namespace | None = None

    @property
    def command(self) -> str:
        """Whole command line, as stored in results.json."""
        return shlex.join(["train.py", *self.argv])


def parse(argv: list[str]) -> Request:
    """Split off the arguments that decide which parser reads the rest of a command line.

    Raises:
        UserError: an unknown verb, model or data set, a pair that does not fit, or an option without its value.
    """
    rest = list(argv)
    verb = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    if verb and verb not in VERBS:
        raise UserError(f"unknown command {verb!r}{nearest(verb, VERBS)}")
    for note in repeated(rest):
        print(sanitize(note), file=sys.stderr)
    imports = []
    while (module := _take(rest, "--import", only_first=True)) is not None:
        import_own(module)
        imports.append(module)
    values = {option[2:]: _take(rest, option) for option in OPTIONS}
    for position in _config_positions(rest):
        rest[position] = resolve(rest[position])
    if not has_own_options(verb) and not values["ckpt_path"]:  # a checkpoint names both itself
        of_files = names_in(config_files(rest))
        values["model"] = values["model"] or of_files.model
        values["data"] = values["data"] or of_files.data
    _check_pair(values["model"], values["data"])
    return Request(
        verb=verb,
        model=values["model"],
        data=values["data"],
        ckpt_path=values["ckpt_path"],
        finetune=values["finetune"],
        folder=values["folder"] or "logs",
        name=values["name"],
        help=_take_help(rest),
        imports=imports,
        print_config=_take_flag(rest, "--print_config"),
        rest=rest,
        argv=list(argv),
    )


def _check_pair(model: str | None, data: str | None) -> None:
    """Refuse an unknown model, unknown data, and data that the model does not read."""
    entry = catalog.find(catalog.MODELS, model, "model") if model else None
    row = catalog.find(catalog.DATA, data, "data set") if data else None
    if entry is not None and row is not None and not entry.fits(row):
        reads, gives = " or ".join(entry.batch_types), " or ".join(row.batch_types)
        fits = [name for name, other in catalog.DATA.items() if entry.fits(other)]
        raise UserError(
            f"--model {model} reads {reads}, --data {data} gives {gives}; data sets that fit: {', '.join(fits)}"
        )


def config_files(argv: list[str]) -> list[str]:
    """Return the files given by -c."""
    return [argv[position].partition("=")[2] or argv[position] for position in _config_positions(argv)]


def repeated(argv: list[str]) -> list[str]:
    """Return notes on options that are given several times, of which the last one counts."""
    names = Counter(token.partition("=")[0] for token in argv if token.startswith("--"))
    lists = {"--data.text", "--data.file", "--config", "--import"}
    notes = []
    for name, count in names.items():
        if count > 1 and name not in lists and not name.endswith("+"):
            notes.append(f"{name} is given {count} times; the last one counts: {_last_value(argv, name)}")
    return notes


def refuse_options(request: Request, *names: str) -> None:
    """Refuse options that the verb does not use.

    Args:
        request: the command line.
        names: fields of `Request`.

    Raises:
        UserError: one of them was given.
    """
    for name in names:
        if (value := getattr(request, name)) is not None:
            raise UserError(f"--{name} {value} has no effect on {request.verb}; leave it out")


def _config_positions(argv: list[str]) -> list[int]:
    """Return the positions of files given by -c FILE or -c=FILE."""
    separate = [i + 1 for i, (option, _) in enumerate(itertools.pairwise(argv)) if option in _CONFIG]
    joined = [i for i, token in enumerate(argv) if token.startswith(tuple(f"{option}=" for option in _CONFIG))]
    return sorted({*separate, *joined})


def _last_value(argv: list[str], name: str) -> str:
    position = max(i for i, token in enumerate(argv) if token.partition("=")[0] == name)
    _, equals, value = argv[position].partition("=")
    return value if equals else " ".join(argv[position + 1 : position + 2])


def _take(rest: list[str], option: str, *, only_first: bool = False) -> str | None:
    """Remove each `option VALUE` or `option=VALUE`, and return the last value."""
    value = None
    position = 0
    while position < len(rest) and not (only_first and value is not None):
        if rest[position].startswith(f"{option}="):
            value = rest.pop(position).partition("=")[2]
        elif rest[position] == option:
            if position + 1 == len(rest) or rest[position + 1].startswith("--"):
                raise UserError(f"{option} needs a value")
            value = rest[position + 1]
            del rest[position : position + 2]
        else:
            position += 1
    if value == "":
        raise UserError(f"{option} needs a value")
    return value


def _take_flag(rest: list[str], option: str) -> bool:
    count = len(rest)
    rest[:] = [token for token in rest if token != option]
    return len(rest) < count


def _take_help(rest: list[str]) -> str:
    for option in ("--help", "-h"):
        if option in rest:
            position = rest.index(option)
            trainer = rest[position + 1 : position + 2] == ["trainer"]
            del rest[position : position + 1 + trainer]
            return "trainer" if trainer else "own"
    return ""


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
            if repeated := [key for key, count in keys.items() if count > 1]:
                raise yaml.YAMLError(f"the key {repeated[0]} stands twice in one group; keep one of them")
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
    names: dict[str, str] = {}
    for file in files:
        settings = read(file)
        for key in NAMES:
            name = settings.get(key)
            if not isinstance(name, str | None):
                raise UserError(f"{file}: {key} is {name}; it must be a name")
            if name is not None:
                names[key] = name
    return Names(*map(names.get, NAMES))


def import_own(module: str) -> None:
    """Import a module that calls `catalog.register`.

    Only the command line can name it; no checkpoint, file of settings or environment variable can.

    Args:
        module: a file, `mine.py`, or the name of a module that Python finds, also in the current folder.

    Raises:
        UserError: there is no such module, another one has its name, or it is no Python in UTF-8.
    """
    try:
        _import(module)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        where = f"{error.filename or module}{line}" if isinstance(error, SyntaxError) else module
        reason = error.msg if isinstance(error, SyntaxError) else f"{error}; save it as UTF-8"
        raise UserError(f"--import {module}: {where}: {reason}") from None


def _import(module: str) -> None:
    file = Path(module)
    if file.suffix == ".py":
        if not file.is_file():
            raise UserError(f"--import {module}: no such file")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None  # a .py file always has both
        if file.stem in sys.modules:
            if getattr(sys.modules[file.stem], "__file__", None) == str(file.absolute()):
                return
            raise UserError(f"--import {module}: another module is called {file.stem}; rename the file")
        imported = importlib.util.module_from_spec(spec)
        imported.__file__ = str(file.absolute())
        sys.modules[file.stem] = imported
        try:
            spec.loader.exec_module(imported)
        except BaseException:
            del sys.modules[file.stem]
            raise
        return
    sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a module that the user's module imports
        raise UserError(f"--import {module}: no module {error.name!r} here or installed; a file ends in .py") from None
    finally:
        sys.path.remove(str(Path.cwd()))
