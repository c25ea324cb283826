"""Errors in the options of a command line, each explained in a line that says what to do.

Explanations come from the parser and the classes behind it, not from the wording of the parser's messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from lightning_nn import catalog
from lightning_nn.cli.request import OPTIONS, config_files, read
from lightning_nn.cli.verbs import program
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.saved_settings import NAMES
from lightning_nn.sanitize import shorten

_LONGEST = 300  # characters of the parser's own message

# Names of options in other programs, and ours; of each the last part.
ELSEWHERE = {
    "learning_rate": "lr",
    "epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "n_epochs": "max_epochs",
    "steps": "max_steps",
    "num_steps": "max_steps",
    "bs": "batch_size",
    "gpus": "devices",
    "num_gpus": "devices",
    "num_processes": "devices",
    "nodes": "num_nodes",
    "device": "accelerator",
    "amp": "precision",
    "fp16": "precision",
    "clip": "gradient_clip_val",
    "clip_grad": "gradient_clip_val",
    "max_grad_norm": "gradient_clip_val",
    "seed": "seed_everything",
    "random_seed": "seed_everything",
    "wd": "weight_decay",
    "resume": "ckpt_path",
    "resume_from": "ckpt_path",
    "resume_from_checkpoint": "ckpt_path",
    "checkpoint": "ckpt_path",
    "checkpoint_path": "ckpt_path",
    "ckpt": "ckpt_path",
    "pretrained": "finetune",
    "dataset": "data",
    "path": "content",
    "content": "path",
    "model_name": "model",
    "data_name": "data",
    "output_dir": "folder",
    "logdir": "folder",
    "log_dir": "folder",
}
_LIKE = 0.67  # share of characters in common from which on two names are similar


class _Said(NamedTuple):
    """A setting as the user gave it.

    Attributes:
        name: dotted name.
        value: a text from the command line, or any value from a file.
        file: the file; empty for the command line.
    """

    name: str
    value: Any
    file: str = ""


class Explainer:
    """Explanations of what a parser refuses.

    Args:
        parser: parser of the options of a model and its data.
        argv: the arguments to parse.
        model: name of the model.
        classes: class whose constructor takes the options of a group, by group.
    """

    def __init__(self, parser: ArgumentParser, argv: list[str], model: str, classes: Mapping[str, type]) -> None:
        self.parser, self.argv, self.model, self.classes = parser, argv, model, classes
        self.known = [name for name, _ in parser.get_defaults().items() if not name.startswith("_")]

    def check_names(self) -> None:
        """Refuse unknown options on the command line and in its files.

        Raises:
            UserError: an option is unknown; the message names the nearest one, or the data sets that have it.
        """
        for said in [*self._on_the_line(), *self._in_files()]:
            if not self._knows(said.name) or (said.name in NAMES and not said.file):
                raise UserError(self._unknown(said))

    def explain(self, error: Exception) -> UserError:
        """Return a user error that explains an error of the parser in a line.

        Args:
            error: the exception that the parser raised.
        """
        files = " or ".join(config_files(self.argv))
        if not isinstance(error, ArgumentError):
            return UserError(f"can't read {files}: {error}")
        for said in [*self._on_the_line(), *self._in_files()]:
            reason = self._refused(said)
            if reason is not None:
                return UserError(self._misfit(said, reason))
        given = {said.name for said in [*self._on_the_line(), *self._in_files()]}
        for group in ("model", "data"):
            for name, each in signature(self.classes[group]).parameters.items():
                option = f"{group}.{name}"
                if each.default is each.empty and option in self.known and option not in given:
                    return UserError(f"--{option} is required")
        return UserError(_shortened(error))

    def _on_the_line(self) -> Iterator[_Said]:
        for position, token in enumerate(self.argv):
            if token.startswith("--") and len(token) > 2:
                name, equals, value = token.partition("=")
                behind = self.argv[position + 1 : position + 2]
                yield _Said(name[2:], value if equals else " ".join(behind))

    def _in_files(self) -> Iterator[_Said]:
        for file in config_files(self.argv):
            for group, values in read(file).items():
                yield from self._in_group(group, values, file)

    def _in_group(self, name: str, value: Any, file: str) -> Iterator[_Said]:
        """Yield the settings of a group of options, or of a group within it."""
        holds = name in self.classes or (name not in self.known and any(k.startswith(f"{name}.") for k in self.known))
        if not holds or value is None:
            yield _Said(name, value, file)
        elif isinstance(value, dict):
            for key, each in value.items():
                yield from self._in_group(f"{name}.{key}", each, file)
        else:
            raise UserError(f"{file}: {name} is {value}; expected its settings by name")

    def _knows(self, name: str) -> bool:
        name = name.removesuffix("+")
        if name in self.known or name in self.classes or name in ("config", "help"):
            return True
        return any(name.startswith(f"{each}.") for each in self.known)  # an argument of the object that an option takes

    def _unknown(self, said: _Said) -> str:
        where, dashes = (f"{said.file}: ", "") if said.file else ("", "--")
        if others := " or ".join(self._data_with(said.name)):
            return f"{where}unknown option {dashes}{said.name}; it belongs to --data {others}"
        options = [f"--{name}" for name in self.known if name not in NAMES]
        hint = option_hint(f"--{said.name}", [*options, *OPTIONS])
        if hint is not None and hint in OPTIONS and said.file:
            return f"{where}unknown option {said.name}; give it on the command line: {hint}"
        if hint is None:
            listed = f"{program()} --model {self.model} --help"
            return f"{where}unknown option {dashes}{said.name}; this lists the options: {listed}"
        return f"{where}unknown option {dashes}{said.name}; did you mean {hint if dashes else hint[2:]!r}?"

    def _data_with(self, option: str) -> list[str]:
        """Return the data sets that fit the model and have an option that the current one lacks."""
        group, _, name = option.partition(".")
        name = name.partition(".")[0]
        own = signature(self.classes["data"]).parameters
        rows = catalog.DATA.items() if group == "data" and name and name not in own else ()
        fits = catalog.MODELS[self.model].fits
        return [data for data, row in rows if fits(row) and name in signature(row.load()).parameters]

    def _refused(self, said: _Said) -> str | None:
        """Return why the parser refuses a setting alone; None if it accepts it."""
        head, _, last = said.name.removesuffix("+").rpartition(".")
        if said.name in self.classes:
            return "" if not said.file else None
        if said.name.removesuffix("+") not in self.known:
            return None
        try:
            if said.file:
                self.parser.parse_object({head: {last: said.value}} if head else {last: said.value}, defaults=False)
            else:
                self.parser.parse_args([f"--{said.name}={said.value}"], defaults=False)
        except ArgumentError as error:
            # Required arguments are missing here, which is not this setting's fault.
            return None if said.name.removesuffix("+") not in str(error) else innermost(error)
        return None

    def _misfit(self, said: _Said, reason: str) -> str:
        option = f"{said.file}: {said.name}" if said.file else f"--{said.name}"
        if said.name in self.classes:
            options = [f"--{name}" for name in self.known if name.startswith(f"{said.name}.")]
            hint = next((known for known in options if known.endswith(".name")), options[0])
            return f"{option} is a group of options, such as {hint}; settings from a file: -c FILE"
        kinds = _alternatives(self._kind(said.name.removesuffix("+")))
        texts = [kind for kind in kinds if kind is not None]
        if not texts or len(texts) < len(kinds):  # an object is possible: only the parser knows the reason
            return f"{option} is {said.value}: {reason}"
        choices = [text[1:-1] for text in texts if text.startswith("'")]
        if choices and len(choices) + texts.count("null") == len(texts):
            near = nearest(str(said.value), choices) if len(choices) > 1 else ""
            near = near if "did you mean" in near else ""  # else it lists the choices again
            return f"{option} is {said.value!r}, not one of {', '.join(choices)}{near}"
        must = f"one of: {', '.join(texts)}" if len(texts) > 1 else f"of type {texts[0]}"
        return f"{option} is {said.value}; it must be {must}"

    def _kind(self, name: str) -> Any:
        group, _, last = name.rpartition(".")
        if name == "seed_everything":
            return bool | int
        if group.count(".") and is_dataclass(options := self._kind(group)):
            return get_type_hints(options).get(last, Any)
        try:
            return get_type_hints(self.classes[group].__init__).get(last, Any)  # type: ignore[misc]
        except (KeyError, NameError, TypeError):
            return Any


def _alternatives(kind: Any) -> list[str | None]:
    """Return what a type accepts, each alternative as a word; None stands for an object."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return [each for one in inner for each in _alternatives(one)]
    if origin is Literal:
        return [f"'{choice}'" if isinstance(choice, str) else str(choice) for choice in inner]
    if origin is list:
        return [f"list of {' or '.join(str(each) for each in _alternatives(inner[0]))}"] if _plain(inner) else [None]
    if kind in (None, NoneType):
        return ["null"]
    return [kind.__name__] if kind in (bool, int, float, str) else [None]


def _plain(kinds: Iterable[Any]) -> bool:
    return all(each is not None for kind in kinds for each in _alternatives(kind))


def innermost(error: Exception) -> str:
    """Return the first of the deepest lines of the parser's tree of reasons: why the type that nearly fits did not."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    deepest = max(lines, key=lambda line: len(line) - len(line.lstrip()), default="")
    return _shortened(deepest.strip().removeprefix("- "))


def _shortened(error: object) -> str:
    return shorten(" ".join(str(error).split()), _LONGEST)


def option_hint(name: str, options: Iterable[str]) -> str | None:
    """Return the option that an unknown name may mean; None if no option is similar.

    Args:
        name: the name as given, "--group.name" or "--name".
        options: the known options, in the same form.
    """
    known = list(options)
    group, _, last = name.lstrip("-").replace("-", "_").lower().rpartition(".")
    meant = {last, ELSEWHERE.get(last, last)}
    by_last: dict[str, list[str]] = {}
    for option in known:
        by_last.setdefault(option.lstrip("-").rpartition(".")[2].lower(), []).append(option)
    found = [option for each in meant for option in by_last.get(each, [])]
    if not found:
        of_group = [option for option in known if option.lstrip("-").rpartition(".")[0] == group]
        found = _alike(last, of_group) or _alike(last, known)
    same = [option for option in found if option.lstrip("-").rpartition(".")[0] == group]
    return next(iter(same or found), None)


def _alike(last: str, options: list[str]) -> list[str]:
    ends = {option.lstrip("-").rpartition(".")[2].lower(): option for option in reversed(options)}
    return [ends[end] for end in difflib.get_close_matches(last, ends, n=1, cutoff=_LIKE)]
