"""Errors in the options of a command line, each explained in a line that says what to do.

Explanations come from the parser and the classes behind it, not from the wording of the parser's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from lightning_nn import catalog
from lightning_nn.cli.option_names import option_hint
from lightning_nn.cli.request import OPTIONS, config_files, read
from lightning_nn.cli.verbs import program
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.saved_settings import NAMES
from lightning_nn.sanitize import shorten

_LONGEST = 300  # characters of the parser's own message


class _Setting(NamedTuple):
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
        known: dotted names of all options.
        argv: the arguments to parse.
        model: name of the model.
        classes: class whose constructor takes the options of a group, by group.
    """

    def __init__(
        self, parser: ArgumentParser, known: list[str], argv: list[str], model: str, classes: Mapping[str, type]
    ) -> None:
        self.parser, self.known, self.argv, self.model, self.classes = parser, known, argv, model, classes

    def check_names(self) -> None:
        """Refuse unknown options on the command line and in its files.

        Raises:
            UserError: an option is unknown; the message names the nearest one, or the data sets that have it.
        """
        for setting in self._settings():
            if not self._knows(setting.name) or (setting.name in NAMES and not setting.file):
                raise UserError(self._unknown(setting))

    def explain(self, error: Exception) -> UserError:
        """Return a user error that explains an error of the parser in a line.

        Args:
            error: the exception that the parser raised.
        """
        files = " or ".join(config_files(self.argv))
        if not isinstance(error, ArgumentError):
            return UserError(f"can't read {files}: {error}")
        for setting in self._settings():
            reason = self._refused(setting)
            if reason is not None:
                return UserError(self._misfit(setting, reason))
        set_options = {setting.name for setting in self._settings()}
        for group in ("model", "data"):
            for name, parameter in signature(self.classes[group]).parameters.items():
                option, required = f"{group}.{name}", parameter.default is parameter.empty
                if required and option in self.known and option not in set_options:
                    return UserError(f"--{option} is required")
        return UserError(_shortened(error))

    def _settings(self) -> Iterator[_Setting]:
        """Yield the settings of the command line, then those of its files."""
        for position, token in enumerate(self.argv):
            if token.startswith("--") and len(token) > 2:
                name, equals, value = token.partition("=")
                yield _Setting(name[2:], value if equals else " ".join(self.argv[position + 1 : position + 2]))
        for file in config_files(self.argv):
            for group, values in read(file).items():
                yield from self._in_group(group, values, file)

    def _in_group(self, name: str, value: Any, file: str) -> Iterator[_Setting]:
        """Yield the settings of a group of options, or of a group within it."""
        below = any(option.startswith(f"{name}.") for option in self.known)
        if value is None or (name not in self.classes and (name in self.known or not below)):
            yield _Setting(name, value, file)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from self._in_group(f"{name}.{key}", item, file)
        else:
            raise UserError(f"{file}: {name} is {value}; expected its settings by name")

    def _knows(self, name: str) -> bool:
        name = name.removesuffix("+")
        if name in self.known or name in self.classes or name in ("config", "help"):
            return True
        return any(name.startswith(f"{option}.") for option in self.known)  # an argument of the object that it takes

    def _unknown(self, setting: _Setting) -> str:
        where, dashes = (f"{setting.file}: ", "") if setting.file else ("", "--")
        if inside := [name for name in self.known if name.startswith(f"{setting.name}.")]:
            return f"{where}{dashes}{setting.name} is a group of options, such as {dashes}{inside[0]}"
        unknown = f"{where}unknown option {dashes}{setting.name}"
        options = [f"--{name}" for name in self.known if name not in NAMES]
        within = [f"--{name}" for name in self.known if name.startswith(f"{setting.name.partition('.')[0]}.")]
        hint = option_hint(f"--{setting.name}", within, spelt=True)
        if hint is None and (others := " or ".join(self._data_with(setting.name))):
            return f"{unknown}; it belongs to --data {others}"
        hint = hint or option_hint(f"--{setting.name}", [*options, *OPTIONS])
        if hint is None:
            return f"{unknown}; this lists the options: {program()} --model {self.model} --help"
        if hint in OPTIONS and setting.file:
            return f"{unknown}; give it on the command line: {hint}"
        return f"{unknown}; did you mean {hint[2:] if setting.file else hint!r}?"

    def _data_with(self, option: str) -> list[str]:
        """Return the data sets that fit the model and have an option that the current one lacks."""
        group, _, name = option.partition(".")
        name = name.partition(".")[0]
        current = signature(self.classes["data"]).parameters
        rows = catalog.DATA.items() if group == "data" and name and name not in current else ()
        fits = catalog.MODELS[self.model].fits
        return [data for data, row in rows if fits(row) and name in signature(row.load()).parameters]

    def _refused(self, setting: _Setting) -> str | None:
        """Return why the parser refuses a setting alone; None if it accepts it."""
        head, _, last = setting.name.removesuffix("+").rpartition(".")
        if setting.name in self.classes:
            return "" if not setting.file else None
        if setting.name.removesuffix("+") not in self.known:
            return None
        try:
            if setting.file:
                value = {last: setting.value}
                self.parser.parse_object({head: value} if head else value, defaults=False)
            else:
                self.parser.parse_args([f"--{setting.name}={setting.value}"], defaults=False)
        except ArgumentError as error:
            # Required arguments are missing here, which is not this setting's fault.
            return None if setting.name.removesuffix("+") not in str(error) else innermost(error)
        return None

    def _misfit(self, setting: _Setting, reason: str) -> str:
        option = f"{setting.file}: {setting.name}" if setting.file else f"--{setting.name}"
        if setting.name in self.classes:
            options = [f"--{name}" for name in self.known if name.startswith(f"{setting.name}.")]
            hint = next((known for known in options if known.endswith(".name")), options[0])
            return f"{option} is a group of options, such as {hint}; settings from a file: -c FILE"
        kinds = _alternatives(self._kind(setting.name.removesuffix("+")))
        texts = [kind for kind in kinds if kind is not None]
        if not texts or len(texts) < len(kinds):  # an object is possible: only the parser knows the reason
            return f"{option} is {setting.value}: {reason}"
        choices = [text[1:-1] for text in texts if text.startswith("'")]
        if choices and len(choices) + texts.count("null") == len(texts):
            near = nearest(str(setting.value), choices) if len(choices) > 1 else ""
            near = near if "did you mean" in near else ""  # else it lists the choices again
            return f"{option} is {setting.value!r}, not one of {', '.join(choices)}{near}"
        must = f"one of: {', '.join(texts)}" if len(texts) > 1 else f"of type {texts[0]}"
        return f"{option} is {setting.value}; it must be {must}"

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
        return [word for alternative in inner for word in _alternatives(alternative)]
    if origin is Literal:
        return [f"'{choice}'" if isinstance(choice, str) else str(choice) for choice in inner]
    if origin is list:
        items = _alternatives(inner[0])
        return [None] if None in items else [f"list of {' or '.join(map(str, items))}"]
    if kind in (None, NoneType):
        return ["null"]
    return [kind.__name__] if kind in (bool, int, float, str) else [None]


def innermost(error: Exception) -> str:
    """Return the first of the deepest lines of the parser's tree of reasons: why the type that nearly fits did not."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    deepest = max(lines, key=lambda line: len(line) - len(line.lstrip()), default="")
    return _shortened(deepest.strip().removeprefix("- "))


def _shortened(error: object) -> str:
    return shorten(" ".join(str(error).split()), _LONGEST)
