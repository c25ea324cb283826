"""What a command line asks for, as far as that can be told without torch."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from lightning_nn import catalog
from lightning_nn.errors import UserError, nearest

VERBS = {
    "fit": "train (this alone: no test at the end)",
    "validate": "figures of a checkpoint on the validation part",
    "test": "figures of a checkpoint on the test part",
    "predict": "answers for your own text or pictures",
}


OPTIONS = ("--model", "--data", "--ckpt_path", "--finetune", "--folder", "--name")


class Request(NamedTuple):
    """What the command line asks for.

    Attributes:
        verb: a key of VERBS; empty: fit, then test.
        model: name in the catalog, None where the checkpoint says it.
        data: likewise.
        ckpt_path: last, best or a file.
        finetune: a file whose weights a new run starts from.
        folder: of the runs.
        name: name of the run's folder; None for the time.
        help: "", "own" (the model's and the data's arguments) or "trainer".
        rest: what LightningCLI parses.
        command: the whole command line, as results.json keeps it.
    """

    verb: str
    model: str | None
    data: str | None
    ckpt_path: str | None
    finetune: str | None
    folder: str
    name: str | None
    help: str
    rest: list[str]
    command: str


def parse(argv: list[str]) -> Request:
    """Takes out of a command line what decides which parser reads the rest.

    Raises:
        UserError: an unknown verb, model or data set, a pair that does not fit, an option without its value.
    """
    rest = list(argv)
    verb = ""
    if rest and not rest[0].startswith("-"):
        verb = rest.pop(0)
        if verb not in VERBS:
            raise UserError(f"unknown command {verb!r}{nearest(verb, VERBS)}")
    given = {option[2:]: _take(rest, option) for option in OPTIONS}
    model, data = given["model"], given["data"]
    if model:
        entry = catalog.find(catalog.MODELS, model, "model")
        if data:
            row = catalog.find(catalog.DATA, data, "data set")
            if not entry.fits(row):
                reads, gives = " or ".join(entry.batch_types), " or ".join(row.batch_types)
                fits = [name for name, each in catalog.DATA.items() if entry.fits(each)]
                raise UserError(
                    f"--model {model} reads {reads}, --data {data} gives {gives}; it fits: {', '.join(fits)}"
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
        rest=rest,
        command=shlex.join(["train.py", *argv]),
    )


def refuse_training_options(request: Request) -> None:
    """Refuses what only a training would heed.

    Raises:
        UserError: --finetune or --name was given.
    """
    for option, value in (("--finetune", request.finetune), ("--name", request.name)):
        if value is not None:
            raise UserError(f"{option} {value} has no effect on {request.verb}; leave it out")


def _take(rest: list[str], option: str) -> str | None:
    """Removes `option VALUE` or `option=VALUE`; the last one counts."""
    value = None
    position = 0
    while position < len(rest):
        if rest[position].startswith(f"{option}="):
            value = rest.pop(position).partition("=")[2]
        elif rest[position] == option:
            if position + 1 == len(rest) or rest[position + 1].startswith("--"):
                raise UserError(f"{option} needs a value behind it")
            value = rest[position + 1]
            del rest[position : position + 2]
        else:
            position += 1
    if value == "":
        raise UserError(f"{option} needs a value behind it")
    return value


def _take_help(rest: list[str]) -> str:
    for option in ("--help", "-h"):
        if option in rest:
            position = rest.index(option)
            trainer = rest[position + 1 : position + 2] == ["trainer"]
            del rest[position : position + 1 + trainer]
            return "trainer" if trainer else "own"
    return ""
