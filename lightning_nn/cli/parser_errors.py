"""What the argument parser complains of, in a line that says what to do."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from lightning_nn import catalog
from lightning_nn.errors import nearest

if TYPE_CHECKING:
    from pytorch_lightning.cli import LightningArgumentParser


def explain(message: str, parser: LightningArgumentParser, argv: list[str], model: str) -> str:
    """jsonargparse's complaint in a line, with the nearest option there is, or the data sets that have it.

    Args:
        message: the complaint.
        parser: whose it is.
        argv: what was given.
        model: name of the model that is to read the data.
    """
    if message.startswith("Problems parsing config"):
        message = f"{config_files(argv)}: {message}"
    options = [o for action in parser._actions for o in action.option_strings if o.startswith("--")]
    unknown = re.search(r"[Uu]nrecognized arguments: (\S+)", message) or re.search(r"Option '(\S+)' is not", message)
    if unknown:
        name = unknown[1].partition("=")[0]
        others = " or ".join(_data_with(name, model))
        return f"unknown option {name}{f'; it belongs to --data {others}' if others else nearest(name, options)}"
    ours = [action.dest for action in parser._actions]
    inside = re.search(r"Group '([\w.]+)' does not accept (?:option|nested key) '([\w.]+)'", message)
    if inside:
        name = f"{inside[1]}.{inside[2]}"
        return f"{config_files(argv) or 'the configuration'}: unknown option {name}{nearest(name, ours)}"
    if message.startswith("Unexpected config"):
        return f"{config_files(argv)}: expected settings by group, such as trainer: {{max_epochs: 3}}"
    missing = re.search(r'Key "([\w.]+)" is required', message)
    if missing:
        return f"--{missing[1]} is required"
    message = " ".join(line.strip() for line in message.splitlines() if line.strip())
    message = re.sub(r'^Parser key "([\w.]+)": ', r"--\1: ", message)
    message = re.sub(r"<class '(\w+)'>", r"\1", message)
    message = _of_choices(message) or _of_union(message) or message
    about = re.match(r"--[\w.]+", message)
    said = about is None or any(argument.partition("=")[0] == about[0] for argument in argv)
    return message if said else f"{config_files(argv) or 'the configuration'}: {message}"


def config_files(argv: list[str]) -> str:
    """The files that were given by -c, for errors."""
    return " or ".join(file for option, file in itertools.pairwise(argv) if option in ("-c", "--config"))


def _of_choices(message: str) -> str | None:
    """jsonargparse's complaint about a value that is none of several names, with the nearest and all."""
    found = re.search(r"^(?:.*: )?--([\w.]+): Expected a typing\.Literal\[(.*?)\]\.? Got value: (\S+)", message)
    if not found:
        return None
    choices = [choice.strip(" '") for choice in found[2].split(",")]
    near = nearest(found[3], choices) if len(choices) > 1 else ""
    return f"--{found[1]} is {found[3]!r}, not one of {', '.join(choices)}{near if 'did you mean' in near else ''}"


def _of_union(message: str) -> str | None:
    """The same where the value may be of several types: what fits, without the story of each attempt."""
    pattern = r"--([\w.]+): .*?[Ss]ubtypes:? \[(.*)\] Errors:.*Given value type: \w+ Given value: (.*)$"
    found = re.search(pattern, message)
    if not found:
        return None
    kinds = found[2].replace("NoneType", "null").replace("typing.Literal", "").replace("list", "list of ")
    return f"--{found[1]} is {found[3]}; it must be one of: {re.sub(r'[][]', '', kinds)}"


def _data_with(option: str, model: str) -> list[str]:
    """The data sets that fit a model and have such an option, where the one at hand has not."""
    group, _, name = option.removeprefix("--").partition(".")
    rows = catalog.DATA.items() if group == "data" and name else ()
    fits = catalog.MODELS[model].fits
    return [data for data, row in rows if fits(row) and name in row.load().__init__.__annotations__]
