"""The command line, as far as it goes without torch: what is asked for, the general help, errors and exit codes."""

from __future__ import annotations

import os
import shlex
import sys
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


def main(argv: list[str] | None = None) -> int:
    """Runs a command line.

    Args:
        argv: without the program's name; those of the process by default.

    Returns:
        The exit code: 0; 2 for what a person can mend, said on standard error; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        request = parse(argv)
        if not request.model and not request.ckpt_path and request.verb != "predict":
            if argv and not request.help:
                raise UserError(_no_model(request.rest))
            print(overview())
            return 0
        from lightning_nn.command import execute

        return execute(request)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as done:  # --print_config
        return int(done.code or 0)
    except BrokenPipeError:  # `... | head` closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
            reads = catalog.find(catalog.DATA, data, "data set").reads
            if reads != entry.reads:
                fits = [name for name, row in catalog.DATA.items() if row.reads == entry.reads]
                raise UserError(
                    f"--model {model} reads {entry.reads}, --data {data} gives {reads}; it fits: {', '.join(fits)}"
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


def _no_model(rest: list[str]) -> str:
    options = [token for token in rest if token.startswith("-")]
    hint = next((h for o in options if "did you mean" in (h := nearest(o.partition("=")[0], OPTIONS))), None)
    if hint:
        return f"unknown option{hint}"
    return f"say which model: --model NAME; there are: {', '.join(catalog.MODELS)}"


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
    return value


def _take_help(rest: list[str]) -> str:
    for option in ("--help", "-h"):
        if option in rest:
            position = rest.index(option)
            trainer = rest[position + 1 : position + 2] == ["trainer"]
            del rest[position : position + 1 + trainer]
            return "trainer" if trainer else "own"
    return ""


def overview() -> str:
    """The general help: at most 45 lines of 80 columns."""
    models = [f"  {name:<10} {row.line:<42} {row.data}" for name, row in catalog.MODELS.items()]
    data = [f"  {name:<10} {row.line}" for name, row in catalog.DATA.items()]
    verbs = [f"  {name:<10} {line}" for name, line in VERBS.items()]
    return "\n".join(
        [
            "usage: train.py [command] --model NAME [--data NAME] [--GROUP.NAME VALUE ...]",
            "",
            "Neural networks, from one neuron on, as PyTorch Lightning modules.",
            "",
            f"models     {'what it is':<42} data, if none is named",
            *models,
            "",
            "data",
            *data,
            "",
            "commands   without one: fit, then test the best checkpoint",
            *verbs,
            "",
            "options",
            "  --model NAME --help     the arguments of a model and its data",
            "  --ckpt_path last|best|FILE   go on with a run; test or ask a checkpoint",
            "  --finetune FILE         start a new run from a checkpoint's weights",
            "  --folder DIR, --name NAME  where the run is kept (logs/MODEL/TIME)",
            "  -c FILE, --print_config, --seed_everything N",
            "",
            "examples",
            "  train.py --model han",
            "  train.py --model han --data text --data.path reviews.csv",
            '  train.py predict --ckpt_path last --data.text "……"',
        ]
    )
