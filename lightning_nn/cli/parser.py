"""Parser and help of the options of a model, its data and its training."""

from __future__ import annotations

import copy
from dataclasses import asdict
from datetime import timedelta
from enum import Enum
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
import yaml
from jsonargparse import (
    SUPPRESS,
    ActionConfigFile,
    ArgumentError,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
)
from pytorch_lightning import Trainer, seed_everything

from lightning_nn import catalog
from lightning_nn.callbacks.lightning_internals import try_int_before_float
from lightning_nn.cli.errors import Explainer, innermost
from lightning_nn.cli.request import Request, config_files, find_recipes, names_in
from lightning_nn.cli.verbs import program, short_program
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.checkpoint import to_plain_data
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.saved_settings import NAMES, overlap
from lightning_nn.settings import FOREIGN, CheckpointSettings, EarlyStoppingSettings, Loss, LRScheduler, Optimizer
from lightning_nn.tasks.classification import Views
from lightning_nn.tasks.task import Task
from lightning_nn.visualization.pages import Language

# Groups of settings that are attributes of a task; a task without the attribute lacks the options.
TASK_SETTINGS: dict[str, type] = {"optimizer": Optimizer, "lr_scheduler": LRScheduler, "loss": Loss}
RUN_SETTINGS: dict[str, type] = {"checkpoint": CheckpointSettings, "early_stopping": EarlyStoppingSettings}
SETTINGS = {**TASK_SETTINGS, **RUN_SETTINGS}
F1 = "val/f1"  # mean of the F1 of each class, frequent or rare
TRAINER_DEFAULTS = {
    "max_epochs": 10,
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,  # the loader shards the data itself
    "enable_model_summary": False,  # TensorBoard has it
}
# jsonargparse 4.49 renamed it, and 5 drops the old name.
_INSTANTIATE = "instantiate" if hasattr(ArgumentParser, "instantiate") else "instantiate_classes"


class CommandLine:
    """Settings of one model on one data set, without the arguments that the data decides.

    The command line overrides files given by -c, which override recipes, then `defaults`, then the code's defaults.

    Args:
        request: the command line.
        model: name of the model in the catalog.
        data: name of the data set, likewise.
        recipes: files of settings; None for the recipes of the model and the data set.
        defaults: settings that the recipes override, by dotted name.

    Attributes:
        task: class of the model.
        data_module: class of the data module.
        config: the settings, by group.
        argv: options of the command line, with their full names.
        monitors_f1: True if classes are weighted or balanced, and the best checkpoint is that of the highest val/f1
            for this reason.

    Raises:
        UserError: a setting is unknown, or its value is invalid.
    """

    def __init__(
        self,
        request: Request,
        model: str,
        data: str,
        recipes: list[Path] | None = None,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        self.request, self.model_name, self.data_name = request, model, data
        self.task: type[Task] = catalog.find(catalog.MODELS, model, "model").load()
        self.data_module: type[DataModule] = catalog.find(catalog.DATA, data, "data set").load()
        files = find_recipes(model, data) if recipes is None else recipes
        self.parser = self._build(files, defaults or {})
        self.argv = full_names(request.rest, self.options)
        self.config = self._parse()
        self.monitors_f1 = self._monitor_f1(defaults or {})

    def _build(self, files: list[Path], defaults: dict[str, Any]) -> ArgumentParser:
        parser = ArgumentParser(
            exit_on_error=False,
            allow_abbrev=False,
            print_config=None,
            default_config_files=[str(file) for file in files],
            formatter_class=_formatter(lambda option: True),
        )
        parser.add_argument("-c", "--config", action=ActionConfigFile, help="settings from a YAML file")
        parser.add_argument(
            "--seed_everything",
            type=bool | int,
            default=0,
            help="seed of the random number generators; true: PL_GLOBAL_SEED, or 0; false: no seeding",
        )
        for name, value in zip(NAMES, (self.model_name, self.data_name), strict=True):
            parser.add_argument(f"--{name}", type=str, default=value, help=SUPPRESS)
        decided = set(self.data_module.describes)
        parser.add_class_arguments(self.task, "model", skip=decided, instantiate=False)
        parser.add_class_arguments(self.data_module, "data", instantiate=False)
        if self._evaluates:  # no setting of a training, so in no checkpoint
            text = "Evaluate on training samples, too."
            parser.add_argument("--data.allow_seen", type=bool, default=False, help=text)
            if views := self.task.view_names():
                text = "Average over mirrored images (flip), also over shifted ones (shift)."
                parser.add_argument("--data.views", choices=views, default="none", help=text)
        elif "augment" in signature(self.data_module).parameters:
            parser.add_argument("--data.show", action="store_true", help="Only draw what the network sees.")
        if self.request.verb == "tune":
            text = "Vary options in a study by Optuna: NAME=LOW:HIGH[:log] or NAME=A|B, with commas between."
            parser.add_argument("--search", type=str | None, default=None, help=text)
            text = "Number of trainings of the study, those of earlier calls included (default: 20)."
            parser.add_argument("--trials", type=int | None, default=None, help=text)
        parser.add_argument("--language", choices=("en", "zh"), default="en", help="Language of report.html.")
        for group, cls in {**self._in_task, **RUN_SETTINGS}.items():
            parser.add_class_arguments(cls, group)
        parser.add_class_arguments(Trainer, "trainer", instantiate=False, fail_untyped=False, sub_configs=True)
        try_int_before_float(parser)
        ours: dict[str, Any] = {f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()}
        for group in self._in_task:
            ours |= {f"{group}.{key}": value for key, value in asdict(getattr(self.task, group)).items()}
        if self.task.monitor is not None:
            ours |= dict.fromkeys([f"{group}.monitor" for group in RUN_SETTINGS], self.task.monitor)
        options = {name for name, _ in parser.get_defaults().items()}
        parser.set_defaults({name: value for name, value in {**ours, **defaults}.items() if name in options})
        return parser

    def _parse(self) -> Namespace:
        of_files = names_in(files := config_files(self.request.rest))
        for kind, name, of_file in zip(("model", "data"), (self.model_name, self.data_name), of_files, strict=True):
            if of_file not in (None, name):
                raise UserError(f"{' or '.join(files)} has settings for --{kind} {of_file}, not for --{kind} {name}")
        explainer = Explainer(self.parser, self._names, self.argv, self.model_name, self.classes)
        explainer.check_names()
        try:
            config = self.parser.parse_args(self.argv)
        except (ArgumentError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise explainer.explain(error) from None
        seed = config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise UserError(f"--seed_everything is {seed}; it must be 0 to {2**32 - 1}")
        self.language: Language = config.pop("language")  # no setting of a run either
        self.search: str | None = config.pop("search", None)
        self.trials: int | None = config.pop("trials", None)
        extra = config.data if "data" in config else {}  # options of one verb, and no setting of the data
        self.views: Views = extra.pop("views", "none")
        self.allow_seen, self.show = (bool(extra.pop(flag, False)) for flag in ("allow_seen", "show"))
        if "optimizer" in config:
            for name in FOREIGN[config.optimizer.name]:
                if config.optimizer[name] != (none := getattr(Optimizer, name)) and not self.gives(f"optimizer.{name}"):
                    config.optimizer[name] = none  # the recipe's is for another optimizer
        return config

    @property
    def weighs_classes(self) -> bool:
        """True if the loss weighs classes, or the data repeats samples of the rare ones."""
        return self.config.get("loss.class_weights") is not None or bool(self.config.get("data.balanced"))

    def _monitor_f1(self, defaults: dict[str, Any]) -> bool:
        """Monitor val/f1 of classes that are weighted or balanced, and return whether the best checkpoint does.

        Accuracy counts each sample alike, so that it is highest where the frequent classes do well. A monitor of the
        command line, of a recipe or of a resumed run stays.
        """
        if not (self.task.predicts_classes and self.weighs_classes):
            return False
        for group in RUN_SETTINGS:
            options = (f"{group}.monitor", f"{group}.mode")
            is_default = self.config[options[0]] == self.task.monitor != F1
            if is_default and not any(self.gives(option) or option in defaults for option in options):
                self.config[options[0]] = F1
        return bool(self.config.checkpoint.monitor == F1) and not self.gives("checkpoint.monitor")

    @cached_property
    def _names(self) -> list[str]:
        return [name for name, _ in self.parser.get_defaults().items()]

    @cached_property
    def options(self) -> list[str]:
        """Dotted names of all options."""
        return [name for name in self._names if not name.startswith("config")]

    @property
    def _evaluates(self) -> bool:
        return self.request.verb in ("validate", "test")

    @property
    def _in_task(self) -> dict[str, type]:
        return {group: cls for group, cls in TASK_SETTINGS.items() if isinstance(getattr(self.task, group, None), cls)}

    @property
    def classes(self) -> dict[str, type]:
        """Class whose constructor takes the options of a group, by group."""
        return {"model": self.task, "data": self.data_module, **self._in_task, **RUN_SETTINGS, "trainer": Trainer}

    @cached_property
    def objects(self) -> Namespace:
        """Settings with the objects that they name: the groups of settings, and the trainer's arguments.

        Raises:
            UserError: an object can't be built.
        """
        try:
            return getattr(self.parser, _INSTANTIATE)(self.config)
        except (ValueError, TypeError, RuntimeError, ImportError, AttributeError) as error:
            raise UserError(f"an object in the settings can't be built: {innermost(error)}") from None

    def arguments(self, group: str) -> dict[str, Any]:
        """Return the settings of the arguments of a constructor; empty if it has none that can be set.

        Args:
            group: "model" or "data".
        """
        return dict(self.config[group].as_dict()) if group in self.config else {}

    def seed(self) -> None:
        """Seed the random number generators of the whole process."""
        seed = self.config.seed_everything
        if seed is not False:
            self.config.seed_everything = seed_everything(None if seed is True else seed, workers=True)

    def settings(self) -> dict[str, Any]:
        """Return all settings by group, as plain data.

        Raises:
            UserError: a setting is more than that.
        """
        groups = {name: value for name, value in self.config.as_dict().items() if name not in (*NAMES, "config")}
        plain: dict[str, Any] = to_plain_data(_written(groups), "the setting")
        return plain

    def text(self) -> str:
        """Return the text of a run's config.yaml: all settings, and model and data by name, so that it starts a run.

        Raises:
            UserError: a setting can't be written as YAML.
        """
        names = dict(zip(NAMES, (self.model_name, self.data_name), strict=True))
        return str(yaml.safe_dump({**names, **self.settings()}, sort_keys=False, allow_unicode=True))

    def save(self, run: Run) -> None:
        """Write all settings to the run's config.yaml."""
        write_text(run.config, self.text())

    def keep_form(self, form: dict[str, Any]) -> None:
        """Set arguments of the model, except for those that the command line sets.

        Args:
            form: from `Task.form_of`.
        """
        settings: dict[str, Any] = {}
        for name, value in form.items():
            if isinstance(self.config.get(f"model.{name}"), Namespace):  # a group of options
                settings |= {f"model.{name}.{option}": inner for option, inner in value.items()}
            else:
                settings[f"model.{name}"] = value
        for option, value in settings.items():
            if option in self.config and not self.gives(option):
                self.config[option] = value

    def gives(self, option: str) -> bool:
        """Return whether the command line, or a file that it names with -c, sets an option."""
        return "." in option and any(overlap(name, option) for name in self._given)

    @cached_property
    def _given(self) -> list[str]:
        return list(_flat(self.parser.parse_args(self.argv, defaults=False)))

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ from the recipes and `defaults`: (before, now) by dotted name."""
        before = _flat(self.parser.get_defaults())
        now = _flat(self.config)
        return {k: (before.get(k), v) for k, v in now.items() if before.get(k) != v and not k.startswith("config")}

    def varied(self, settings: dict[str, Any]) -> CommandLine:
        """Return these settings with others in place of some, which are not checked.

        Args:
            settings: values by dotted name.
        """
        other = copy.copy(self)
        other.__dict__.pop("objects", None)
        other.config = self.config.clone()
        for name, value in settings.items():
            other.config[name] = value
        return other

    def unlike_recipes(self) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ from the recipes, also those of a checkpoint: (recipes', now) by name."""
        plain = CommandLine(self.request._replace(verb="", rest=[]), self.model_name, self.data_name)
        before, now = _flat(plain.config), _flat(self.config)
        return {name: (before[name], value) for name, value in now.items() if name in before and before[name] != value}

    def help(self) -> str:
        """Return the help on the options that the verb uses: those of model, data and training, or the trainer's.

        `validate` and `test` load all others from the checkpoint: the data's are shown, and those of predictions alone.
        """
        verb, trainer = self.request.verb, self.request.help == "trainer"
        self.parser.formatter_class = _formatter(_is_trainers if trainer else self._heeds)
        command = " ".join(filter(None, [short_program(), verb or "[command]"]))
        start = "--ckpt_path last|best|FILE" if self._evaluates else f"--model {self.model_name}"
        self.parser.usage = f"{command} {start} --data {self.data_name} [--GROUP.NAME VALUE ...]"
        self.parser.description = None if trainer or not self.task.__doc__ else self.task.__doc__.split("\n", 1)[0]
        again = f"{program()} {f'{verb} ' if verb else ''}--model {self.model_name} --help trainer"
        ending = "" if trainer else f"\nThe trainer's arguments (--trainer.…): {again}\n"
        return f"{self.parser.format_help()}{ending}"

    def _heeds(self, option: str) -> bool:
        """Return whether the verb uses an option, apart from those of the trainer."""
        if any(name.startswith(f"{option}.") for name in self.options):
            return False  # `--model FILE` and the like read a single group from a file: redundant beside -c
        group, dot, name = option.partition(".")
        if not dot:
            return True
        if self._evaluates:
            searches = group == "model" and name.partition(".")[0] in self.task.prediction_arguments
            return searches or (group == "data" and name.partition(".")[0] not in self.data_module.reading)
        return group in {"model", "data", *SETTINGS}


def full_names(argv: list[str], options: list[str]) -> list[str]:
    """Return arguments with the full names of options: `--data.min_count` is `--data.vocabulary.min_count`.

    The name of a group of the model's or the data's options may be left out where no other option is called so.

    Args:
        argv: arguments of a command line.
        options: dotted names of all options.
    """
    inside: dict[str, list[str]] = {}
    for option in options:
        group, _, last = option.rpartition(".")
        if "." in group:
            inside.setdefault(f"{group.partition('.')[0]}.{last}", []).append(option)
    words = []
    for word in argv:
        name, equals, value = word.removeprefix("--").partition("=")
        known = name in options or not word.startswith("--")
        (full,) = [name] if known or len(inside.get(name, [])) != 1 else inside[name]
        words.append(word if known else f"--{full}{equals}{value}")
    return words


def _is_trainers(option: str) -> bool:
    return option.startswith("trainer.")


def _formatter(shown: Any) -> type[DefaultHelpFormatter]:
    """Return a help formatter that hides options.

    Args:
        shown: function that tells for an option's dotted name whether it is shown.
    """

    class Formatter(DefaultHelpFormatter):
        def add_argument(self, action: Any) -> None:
            if shown(action.dest):
                super().add_argument(action)

    return Formatter


def _written(value: Any) -> Any:
    """Return a setting as YAML holds it: a choice by its value, a function by its name, without the parser's notes."""
    if isinstance(value, dict):
        return {name: _written(item) for name, item in value.items() if not str(name).startswith("__")}
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    if isinstance(value, Enum):
        return _written(value.value)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, timedelta):
        return {"seconds": int(value.total_seconds())}
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else value


def _flat(config: Namespace) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not isinstance(value, Namespace)}
