"""The arguments of a model, its data and their training: parsed, explained, and turned into the three objects."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
import yaml
from jsonargparse import ArgumentError, Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_nn import catalog
from lightning_nn.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from lightning_nn.callbacks.early_stopping import MonitorCheck, ResumableEarlyStopping
from lightning_nn.callbacks.exact_resume import ExactResume
from lightning_nn.callbacks.progress import Progress
from lightning_nn.callbacks.run_settings import RunSettings
from lightning_nn.callbacks.run_statistics import RunStatistics
from lightning_nn.callbacks.step_seed import StepSeed
from lightning_nn.callbacks.tensorboard import TensorBoardCallback
from lightning_nn.cli.parser_errors import config_files, explain
from lightning_nn.cli.request import Request
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.checkpoint import Checkpoint, PlainCheckpointIO
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.saved_settings import overlap
from lightning_nn.settings import CheckpointSettings, EarlyStoppingSettings, Loss, LRScheduler, Optimizer, better
from lightning_nn.tasks.base import Task
from lightning_nn.tasks.classification import Classifier

# Settings that neither the model nor the data module keeps in a checkpoint by itself.
RUN_GROUPS = ("seed_everything", "trainer", "checkpoint", "early_stopping")


class CommandLine(LightningCLI):
    """LightningCLI for one model and one data set, with what the data decides left out of the arguments.

    Args:
        request: the command line.
        model: name in the catalog.
        data: likewise.
        recipes: files whose settings come before the command line's.
        defaults: settings that come before those of the recipes, by dotted name.
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
        self.topic: type[Task] = catalog.find(catalog.MODELS, model, "model").load()
        self.data_module: type[DataModule] = catalog.find(catalog.DATA, data, "data set").load()
        self.defaults = defaults or {}
        files = find_recipes(model, data) if recipes is None else recipes
        super().__init__(
            self.topic,
            self.data_module,
            save_config_callback=None,
            trainer_defaults={
                "max_epochs": 10,
                "log_every_n_steps": 10,
                "use_distributed_sampler": False,  # the loader shards by itself
                "enable_model_summary": False,  # TensorBoard has it
            },
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "default_config_files": [str(file) for file in files]},
            args=request.rest,
            run=False,
            auto_configure_optimizers=False,
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the groups: model, data, optimizer, lr_scheduler, loss, checkpoint, early_stopping, trainer."""
        decided = set(self.data_module.describes)
        parser.add_class_arguments(self.topic, "model", skip=decided, instantiate=False)
        parser.add_class_arguments(self.data_module, "data", instantiate=False)
        parser.add_class_arguments(Optimizer, "optimizer")
        parser.add_class_arguments(LRScheduler, "lr_scheduler")
        if issubclass(self.topic, Classifier):
            parser.add_class_arguments(Loss, "loss")
        parser.add_class_arguments(CheckpointSettings, "checkpoint")
        parser.add_class_arguments(EarlyStoppingSettings, "early_stopping")
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.allow_abbrev = False
        topic_defaults = {
            **{f"trainer.{key}": value for key, value in self.trainer_defaults.items()},
            **{f"optimizer.{key}": value for key, value in asdict(self.topic.optimizer).items()},
            **{f"lr_scheduler.{key}": value for key, value in asdict(self.topic.lr_scheduler).items()},
            **{f"{group}.monitor": self.topic.monitor for group in ("checkpoint", "early_stopping")},
        }
        known = {action.dest for action in parser._actions}
        parser.set_defaults({k: v for k, v in {**topic_defaults, **self.defaults}.items() if k in known})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and says in a line what is wrong."""
        program, sys.argv = sys.argv, sys.argv[:1]  # Lightning warns of arguments it is not given
        try:
            self._arguments = [_recipe(argument) for argument in args]
            self.config = parser.parse_args(self._arguments)
        except ArgumentError as error:
            raise UserError(explain(str(error), parser, self.request.rest, self.model_name)) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"can't read {config_files(self.request.rest)}: {error}") from None
        finally:
            sys.argv = program
        seed = self.config.seed_everything
        if not isinstance(seed, bool) and seed is not None and not 0 <= seed < 2**32:
            raise UserError(f"--seed_everything is {seed}; it must be 0 to {2**32 - 1}")
        chosen, default = self.config.optimizer, parser.get_defaults().optimizer
        if chosen.name != "sgd" and default.name == "sgd" and chosen.momentum == default.momentum:
            chosen.momentum = 0.0  # the topic's, for sgd

    def instantiate_classes(self) -> None:
        """Makes the small settings; data, model and trainer are made one after another by the verbs."""
        self.config_init = self.parser.instantiate_classes(self.config)

    def text(self) -> str:
        """All settings, as a run's config.yaml has them."""
        return str(self.parser.dump(self.config, skip_none=False))

    def save(self, run: Run) -> None:
        """Writes all settings to the run's config.yaml."""
        write_text(run.config, self.text())

    def keep_form(self, form: dict[str, Any]) -> None:
        """Gives the model the form of a checkpoint's, but for what the command line says.

        Args:
            form: the arguments of its model, as far as they are trusted.
        """
        parameters = signature(self.topic).parameters.items()
        in_code = {name: each.default for name, each in parameters if each.default is not each.empty}
        for name, value in {**in_code, **form}.items():  # older ones lack newer arguments
            if name in self.config.model and not self.gives(f"model.{name}"):
                self.config.model[name] = value

    def gives(self, option: str) -> bool:
        """Whether the command line, or a file that it names with -c, says what an option is."""
        return "." in option and any(overlap(name, option) for name in self._given)

    @cached_property
    def _given(self) -> list[str]:
        return list(_flat(self.parser.parse_args(self._arguments, defaults=False)))

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What the command line says otherwise than the recipes: (before, now) by dotted name."""
        before = _flat(self.parser.get_defaults())
        now = _flat(self.config)
        return {k: (before.get(k), v) for k, v in now.items() if before.get(k) != v and not k.startswith("config")}

    def make_data(self) -> DataModule:
        """The data module."""
        data = self.data_module(**self.config.data.as_dict())
        data.batch_type = self.topic.batch_type
        return data

    def make_model(self, data: DataModule) -> Task:
        """The model, fitted to the data and with the settings of the command line."""
        described = data.describe()
        parameters = set(_parameters(self.topic))
        arguments = {**self.config.model.as_dict(), **{k: v for k, v in described.items() if k in parameters}}
        try:
            model = self.topic(**arguments)
        except (ValueError, TypeError, RuntimeError, MemoryError) as error:  # what torch says of sizes, probabilities
            reason = "they need more memory than there is" if "alloc" in str(error).lower() else error
            raise UserError(f"{self.topic.__name__} can't be made with these --model. arguments: {reason}") from None
        for group in ("optimizer", "lr_scheduler", "loss"):
            if group in self.config_init:
                setattr(model, group, self.config_init[group])
        if isinstance(model, Classifier):
            model.loss.check(model.num_classes)
            if model.loss.r_drop and not model.has_dropout:
                remedy = "raise --model.dropout, or say " * ("dropout" in parameters) + "--loss.r_drop 0"
                raise UserError(
                    f"--loss.r_drop {model.loss.r_drop:g} compares two passes that differ by dropout, and this "
                    f"{self.topic.__name__} has none: {remedy}"
                )
        return model

    def check(self) -> None:
        """Looks at the settings of the training before the data is read.

        Raises:
            UserError: one makes no sense.
        """
        self.config_init.optimizer.check()
        self.config_init.lr_scheduler.check()
        trainer, stop = self.config.trainer, self.config.early_stopping
        for name in ("max_epochs", "max_steps", "limit_train_batches"):
            if trainer[name] == 0:
                raise UserError(f"--trainer.{name} is 0: there is nothing to train")
        if stop.patience < 0:
            raise UserError(f"--early_stopping.patience is {stop.patience}; it must be 0 (never stop) or above")
        cores = os.cpu_count() or 1
        asked, on_cpu = str(trainer.devices), trainer.accelerator == "cpu" or not torch.accelerator.is_available()
        if on_cpu and asked.isdigit() and int(asked) > max(2, cores):
            raise UserError(f"--trainer.devices {trainer.devices}: this machine has {cores} cores; use as many at most")

    def make_trainer(
        self, run: Run | None, record: RunStatistics | None = None, checkpoint: Checkpoint | None = None
    ) -> Trainer:
        """The trainer.

        Args:
            run: where a training is kept; None for an evaluation, which keeps nothing.
            record: the callback that keeps what the run did.
            checkpoint: that the run goes on from.
        """
        config = dict(self.config_init.trainer.items())
        callbacks: list[Any] = [Progress()] if config.get("enable_progress_bar") is not False else []
        config["enable_progress_bar"] = bool(callbacks)
        if config.get("plugins") is None:
            config["plugins"] = [PlainCheckpointIO(checkpoint)]
        if run is None:
            config["logger"] = False
            return self._start(config, callbacks)
        best, stop = self.config_init.checkpoint, self.config_init.early_stopping
        watched = {"checkpoint": best.monitor, **({"early_stopping": stop.monitor} if stop.patience > 0 else {})}
        kept = {group: values for group, values in yaml.safe_load(self.text()).items() if group in RUN_GROUPS}
        callbacks += [RunSettings(self.data_name, kept)]
        callbacks += [MonitorCheck(watched), StepSeed(self.config.seed_everything), TensorBoardCallback()]
        callbacks.append(ExactResume())
        if record is not None:
            callbacks.append(record)
        if stop.patience > 0:
            callbacks.append(ResumableEarlyStopping(stop))
        if config.get("enable_checkpointing") is not False:
            callbacks.append(BestCheckpoint(run.checkpoints.absolute(), best.monitor, better(best.monitor, best.mode)))
            callbacks.append(LastCheckpoint(run.last.absolute(), best.minutes))
        if config.get("logger") in (None, True):
            folder = run.folder
            config["logger"] = TensorBoardLogger(
                str(folder.parent.parent), folder.parent.name, folder.name, default_hp_metric=False
            )
        return self._start(config, callbacks)

    def _start(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        try:
            return self._instantiate_trainer(config, callbacks)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UserError(f"the trainer can't be made as asked: {str(error).strip()}") from None

    def help(self) -> str:
        """The arguments with their text and defaults: of model, data and training, or of the trainer."""
        parser, own = self.parser, self.request.help != "trainer"
        parser.usage = f"train.py [command] --model {self.model_name} --data {self.data_name} [--GROUP.NAME VALUE ...]"
        parser.description = self.topic.__doc__.split("\n", 1)[0] if own and self.topic.__doc__ else None
        if own:
            parser.epilog = f"The trainer's arguments (--trainer.…): train.py --model {self.model_name} --help trainer"
        groups = [group for group in parser._action_groups if any("." in a.dest for a in group._group_actions)]
        for group in groups:  # `--model FILE` and the like: a file for a single group, of no use beside -c
            group._group_actions = [action for action in group._group_actions if "." in action.dest]
        general = [group for group in parser._action_groups if group not in groups]
        parser._action_groups = [group for group in groups if _is_trainers(group) != own] + (general if own else [])
        return parser.format_help()


def recipe_folder() -> Path:
    """Where the recipes are: beside the code in a wheel, one folder up in a checkout."""
    package = Path(__file__).parent.parent
    beside = package / "conf"
    return beside if beside.is_dir() else package.parent / "conf"


def find_recipes(model: str, data: str) -> list[Path]:
    """The recipes of a model on a data set, later ones over earlier ones: MODEL.yaml, MODEL-DATA.yaml."""
    return [file for name in (model, f"{model}-{data}") if (file := recipe_folder() / f"{name}.yaml").is_file()]


def _recipe(argument: str) -> str:
    """A recipe's file where only its name is given: `-c han-text-long.yaml`."""
    name = argument.removeprefix("conf/")
    if Path(argument).exists() or Path(name).name != name or not name.endswith(".yaml"):
        return argument
    file = recipe_folder() / name
    return str(file) if file.is_file() else argument


def _is_trainers(group: Any) -> bool:
    return any(action.dest.startswith("trainer.") for action in group._group_actions)


def _flat(config: Namespace) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not isinstance(value, Namespace)}


def _parameters(topic: type[Task]) -> list[str]:
    return [name for name in topic.__init__.__annotations__ if name != "return"]
