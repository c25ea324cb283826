"""The part of a command line that can be parsed without torch."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections import Counter
from typing import NamedTuple

from lightning_nn import catalog
from lightning_nn.cli.own_modules import import_own
from lightning_nn.cli.recipes import names_in, resolve
from lightning_nn.errors import UserError, nearest
from lightning_nn.sanitize import sanitize

VERBS = {
    "fit": "train, without a test at the end",
    "validate": "metrics of a checkpoint on the validation split",
    "test": "metrics of a checkpoint on the test split",
    "predict": "predictions for your own text or pictures",
    "export": "the network of a checkpoint as ONNX or for torch",
}


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
    verb = ""
    if rest and not rest[0].startswith("-"):
        verb = rest.pop(0)
        if verb not in VERBS:
            raise UserError(f"unknown command {verb!r}{nearest(verb, VERBS)}")
    for note in repeated(rest):
        print(sanitize(note), file=sys.stderr)
    imports = []
    while (module := _take(rest, "--import", only_first=True)) is not None:
        import_own(module)
        imports.append(module)
    given = {option[2:]: _take(rest, option) for option in OPTIONS}
    for position in _config_positions(rest):
        rest[position] = resolve(rest[position])
    model, data = given["model"], given["data"]
    if verb not in ("predict", "export") and not given["ckpt_path"]:  # a checkpoint names both itself
        named = names_in(config_files(rest))
        model, data = model or named.model, data or named.data
    if model:
        entry = catalog.find(catalog.MODELS, model, "model")
        if data:
            row = catalog.find(catalog.DATA, data, "data set")
            if not entry.fits(row):
                reads, gives = " or ".join(entry.batch_types), " or ".join(row.batch_types)
                fits = [name for name, each in catalog.DATA.items() if entry.fits(each)]
                raise UserError(
                    f"--model {model} reads {reads}, --data {data} gives {gives}; data sets that fit: {', '.join(fits)}"
                )
    elif data:
        catalog.find(catalog.DATA, data, "data set")
    return Request(
        verb=verb,
        model=model,
        data=data,
        ckpt_path=given["ckpt_path"],
        finetune=given["finetune"],
        folder=given["folder"] or "logs",
        name=given["name"],
        help=_take_help(rest),
        imports=imports,
        print_config=_take_flag(rest, "--print_config"),
        rest=rest,
        argv=list(argv),
    )


def config_files(argv: list[str]) -> list[str]:
    """Return the files given by -c."""
    return [argv[position].partition("=")[2] or argv[position] for position in _config_positions(argv)]


def repeated(argv: list[str]) -> list[str]:
    """Return notes on options that are given several times, of which the last one counts."""
    names = Counter(token.partition("=")[0] for token in argv if token.startswith("--"))
    several = {"--data.text", "--data.file", "--config", "--import"}
    notes = []
    for name, count in names.items():
        if count > 1 and name not in several and not name.endswith("+"):
            notes.append(f"{name} is given {count} times; the last one counts: {_last_value(argv, name)}")
    return notes


def refuse_training_options(request: Request) -> None:
    """Refuse options that only training uses.

    Raises:
        UserError: --finetune or --name was given.
    """
    for option, value in (("--finetune", request.finetune), ("--name", request.name)):
        if value is not None:
            raise UserError(f"{option} {value} has no effect on {request.verb}; leave it out")


def _config_positions(argv: list[str]) -> list[int]:
    """Return the positions of files given by -c FILE or -c=FILE."""
    behind = [i + 1 for i, (option, _) in enumerate(itertools.pairwise(argv)) if option in _CONFIG]
    within = [i for i, token in enumerate(argv) if token.startswith(tuple(f"{option}=" for option in _CONFIG))]
    return sorted({*behind, *within})


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
    given = option in rest
    rest[:] = [token for token in rest if token != option]
    return given


def _take_help(rest: list[str]) -> str:
    for option in ("--help", "-h"):
        if option in rest:
            position = rest.index(option)
            trainer = rest[position + 1 : position + 2] == ["trainer"]
            del rest[position : position + 1 + trainer]
            return "trainer" if trainer else "own"
    return ""
