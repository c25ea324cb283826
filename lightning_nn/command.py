"""The command line behind the imports: arguments to a trained, tested or asked model."""

from __future__ import annotations

import itertools
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning_nn.compat  # noqa: F401  isort: skip

import yaml
from jsonargparse import ArgumentError, Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lightning_nn import catalog
from lightning_nn.callbacks.checkpoints import (
    BestCheckpoint,
    CheckpointSettings,
    EarlyStoppingSettings,
    LastCheckpoint,
)
from lightning_nn.callbacks.progress import Progress
from lightning_nn.callbacks.randomness import StepSeed
from lightning_nn.callbacks.tensorboard import Board
from lightning_nn.checkpoint import PlainCheckpointIO, read_checkpoint
from lightning_nn.cli import Request
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError, nearest
from lightning_nn.models.base import Classifier, Topic
from lightning_nn.models.optimization import Loss, LRScheduler, Optimizer
from lightning_nn.run import Record, Run, find_checkpoint, is_first_process, resume_command, save_results, show_results

# What Lightning says in every run and nobody can act on, by name.
_CHATTER = re.compile(
    r"Tip: |Loading `train_dataloader` to estimate|`weights_only` was not set|[GTH]PU available"
    r"|Trainer already configured|litlogger|litmodels"
    r"|Seed set to|Restor(ing|ed) |Loaded model weights|Detected KeyboardInterrupt|`Trainer\.fit` stopped"
    r"|distributed_backend|Initializing distributed|All distributed processes|Starting with \d+ processes|^-+$|^$"
    r"|MEMBER: \d+/\d+|Running in `fast_dev_run`|will use (all|only) \d+ batch|`Trainer\(overfit_batches|^\s*$"
)


def execute(request: Request) -> int:
    """Does what a command line asks for.

    Returns:
        The exit code.

    Raises:
        UserError: what a person can mend.
    """
    with _calm():
        try:
            return _do(request)
        except MisconfigurationException as error:  # what Lightning calls a person's slip
            raise UserError(str(error).strip()) from None


def _do(request: Request) -> int:
    if request.help:
        print(_help(request))
        return 0
    if request.verb == "predict":
        from lightning_nn.predict import predict

        return predict(request)
    if request.verb in ("validate", "test"):
        return _evaluate(request)
    return _train(request)


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
        self.topic: type[Topic] = catalog.find(catalog.MODELS, model, "model").load()
        self.data_module: type[DataModule] = catalog.find(catalog.DATA, data, "data set").load()
        self.defaults = defaults or {}
        files = find_recipes(model, data) if recipes is None else recipes
        super().__init__(
            self.topic,
            self.data_module,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"max_epochs": 10, "use_distributed_sampler": False, "enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "default_config_files": [str(file) for file in files]},
            args=request.rest,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
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
        monitor, mode = self.topic.monitor
        topic_defaults = {
            **{f"trainer.{key}": value for key, value in self.trainer_defaults.items()},
            **{f"optimizer.{key}": value for key, value in asdict(self.topic.optimizer).items()},
            **{f"lr_scheduler.{key}": value for key, value in asdict(self.topic.lr_scheduler).items()},
            **{f"{group}.monitor": monitor for group in ("checkpoint", "early_stopping")},
            **{f"{group}.mode": mode for group in ("checkpoint", "early_stopping")},
        }
        known = {action.dest for action in parser._actions}
        parser.set_defaults({k: v for k, v in {**topic_defaults, **self.defaults}.items() if k in known})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and says in a line what is wrong."""
        program, sys.argv = sys.argv, sys.argv[:1]  # Lightning warns of arguments it is not given
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise UserError(_explain(str(error), parser, self.request.rest)) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"can't read {_config_files(self.request.rest)}: {error}") from None
        finally:
            sys.argv = program
        chosen, default = self.config.optimizer, parser.get_defaults().optimizer
        if chosen.name != "sgd" and default.name == "sgd" and chosen.momentum == default.momentum:
            chosen.momentum = 0.0  # the topic's, for sgd

    def instantiate_classes(self) -> None:
        """Makes the small settings; data, model and trainer are made one after another by the verbs."""
        self.config_init = self.parser.instantiate_classes(self.config)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What the command line says otherwise than the recipes: (before, now) by dotted name."""
        before = _flat(self.parser.get_defaults())
        now = _flat(self.config)
        return {k: (before.get(k), v) for k, v in now.items() if before.get(k) != v and not k.startswith("config")}

    def make_data(self) -> DataModule:
        """The data module."""
        return self.data_module(**self.config.data.as_dict())

    def make_model(self, data: DataModule) -> Topic:
        """The model, fitted to the data and with the settings of the command line."""
        described = data.describe()
        parameters = set(_parameters(self.topic))
        model = self.topic(**self.config.model.as_dict(), **{k: v for k, v in described.items() if k in parameters})
        model.data_name = self.data_name
        for group in ("optimizer", "lr_scheduler", "loss"):
            if group in self.config_init:
                setattr(model, group, self.config_init[group])
        return model

    def make_trainer(self, run: Run | None, record: Record | None = None) -> Trainer:
        """The trainer.

        Args:
            run: where a training is kept; None for an evaluation, which keeps nothing.
            record: the callback that keeps what the run did.
        """
        config = dict(self.config_init.trainer.items())
        callbacks: list[Any] = [Progress()] if config.get("enable_progress_bar") is not False else []
        config["enable_progress_bar"] = bool(callbacks)
        if config.get("plugins") is None:
            config["plugins"] = [PlainCheckpointIO()]
        if run is None:
            config["logger"] = False
            return self._start(config, callbacks)
        best, stop = self.config_init.checkpoint, self.config_init.early_stopping
        callbacks += [StepSeed(self.config.seed_everything), Board()]
        if record is not None:
            callbacks.append(record)
        if stop.patience > 0:
            from pytorch_lightning.callbacks import EarlyStopping

            callbacks.append(EarlyStopping(stop.monitor, stop.min_delta, stop.patience, mode=stop.mode))
        if config.get("enable_checkpointing") is not False:
            callbacks.append(BestCheckpoint(run.checkpoints.absolute(), best.monitor, best.mode))
            callbacks.append(LastCheckpoint(run.last.absolute(), best.minutes))
        if config.get("logger") in (None, True):
            folder = run.folder
            config["logger"] = TensorBoardLogger(
                str(folder.parent.parent), folder.parent.name, folder.name, default_hp_metric=False
            )
        return self._start(config, callbacks, keep_config=True)

    def _start(self, config: dict[str, Any], callbacks: list[Any], keep_config: bool = False) -> Trainer:
        if not keep_config:
            self.save_config_callback = None
        try:
            return self._instantiate_trainer(config, callbacks)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UserError(f"the trainer can't be made as asked: {str(error).strip()}") from None


# ---------------------------------------------------------------------- verbs


def _train(request: Request) -> int:
    """Fits, and without a verb tests the best checkpoint; or goes on with a run."""
    if request.ckpt_path and request.finetune:
        raise UserError(
            "--ckpt_path goes on with a run, --finetune starts a new one from its weights: give one of them"
        )
    checkpoint: dict[str, Any] | None = None
    path: Path | None = None
    if request.ckpt_path:
        path, checkpoint = _open(request, request.ckpt_path)
        request = _as_saved(request, path, checkpoint)
    assert request.model
    data_name = request.data or catalog.MODELS[request.model].data
    old_run = Run.of(path) if path is not None else None
    if checkpoint is not None:
        recipes = [old_run.config] if old_run is not None else []
        cli = CommandLine(request, request.model, data_name, recipes, _saved_defaults(checkpoint))
        _refuse_ignored(cli, checkpoint)
        _refuse_finished(cli, checkpoint, request.model)
    else:
        cli = CommandLine(request, request.model, data_name)
    data = cli.make_data()
    if checkpoint is not None:
        data.adopt(_reader(checkpoint))
    data.prepare_once()
    if is_first_process():
        _show_data(data)
    model = cli.make_model(data)
    if request.finetune:
        _finetune(model, request)
    run = old_run or Run.new(request.logs, request.model, request.run)
    record = Record()
    trainer = cli.make_trainer(run, record)
    if trainer.is_global_zero:
        print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters()):,} parameters; run {run.folder}\n")
    try:
        trainer.fit(model, datamodule=data, ckpt_path=None if path is None else str(path.absolute()))
    except (KeyboardInterrupt, SystemExit):
        pass
    except UserError as error:
        kept = f"\nThe last good checkpoint is {run.last}" if run.last.is_file() else ""
        raise UserError(f"{error}{kept}") from error
    if trainer.interrupted:
        if trainer.is_global_zero:
            saved = f"stopped; saved {run.last}" if run.last.is_file() else "stopped before a checkpoint was written"
            print(f"\n{saved}\ngo on with: {resume_command(run, request.model)}", file=sys.stderr)
        return 130
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return 0
    run.folder = Path(trainer.strategy.broadcast(str(run.folder)))  # rank 0 has named it
    results = {"model": request.model, "data": data_name, **record.results(trainer, model, cli.config.seed_everything)}
    if request.verb == "" and trainer.strategy.broadcast(run.best.is_file()):
        trainer.test(model, datamodule=data, ckpt_path=str(run.best.absolute()), verbose=False)
        results = {**{k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("test/")}, **results}
    if trainer.is_global_zero:
        save_results(run.results, results)
        show_results(run, results, request.model)
    return 0


def _evaluate(request: Request) -> int:
    """Figures of a checkpoint on validation or test; the test of a run's best goes to its results.json as well."""
    if not request.ckpt_path:
        raise UserError(f"say what to {request.verb}: --ckpt_path last, best or FILE")
    path, checkpoint = _open(request, request.ckpt_path)
    request = _as_saved(request, path, checkpoint)
    assert request.model and request.data
    cli = CommandLine(request, request.model, request.data, [], _saved_defaults(checkpoint))
    changes = cli.changes()
    contradicted = [k for k in changes if k.split(".")[0] in ("model", "optimizer", "lr_scheduler", "loss")]
    if contradicted:
        raise UserError(f"--{contradicted[0]} contradicts {path}, which decides it; leave it out")
    data = cli.make_data()
    data.adopt(_reader(checkpoint))
    data.prepare_once()
    model = cli.topic.load_from_checkpoint(path)
    trainer = cli.make_trainer(None)
    evaluate = trainer.validate if request.verb == "validate" else trainer.test
    (metrics,) = evaluate(model, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        run = Run.of(path)
        if request.verb == "test" and run is not None and path.name == run.best.name and not _touches_data(changes):
            save_results(run.results, dict(metrics))
        print(json.dumps({"checkpoint": str(path), **metrics}, indent=2, ensure_ascii=False))
    return 0


def _touches_data(changes: dict[str, Any]) -> bool:
    return any(key.startswith(("data.", "trainer.limit")) for key in changes)


def _open(request: Request, which: str) -> tuple[Path, dict[str, Any]]:
    path = find_checkpoint(request.logs, request.model, which)
    return path, read_checkpoint(path)


def _as_saved(request: Request, path: Path, checkpoint: dict[str, Any]) -> Request:
    """The request with model and data as the checkpoint has them.

    Raises:
        UserError: another model was asked for, or data that does not fit.
    """
    saved = checkpoint["lightning_nn"]
    if request.model not in (None, saved["model"]):
        raise UserError(f"{path} holds the model {saved['model']!r}, not {request.model!r}: leave --model out")
    model, data = saved["model"], request.data or saved["data"]
    catalog.find(catalog.MODELS, model, "model")
    if catalog.find(catalog.DATA, data, "data set").reads != catalog.MODELS[model].reads:
        raise UserError(f"{path} reads {catalog.MODELS[model].reads}, which --data {data} does not give")
    return request._replace(model=model, data=data)


def _reader(checkpoint: dict[str, Any]) -> Any:
    reader = checkpoint["lightning_nn"]["reader"]
    return None if reader is None else catalog.reader(reader["kind"], reader["state"])


def _saved_defaults(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Settings of a checkpoint by dotted name."""
    groups = {
        "model": checkpoint["hyper_parameters"],
        "data": checkpoint.get("datamodule_hyper_parameters", {}),
        **checkpoint["lightning_nn"]["settings"],
    }
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


def _refuse_ignored(cli: CommandLine, checkpoint: dict[str, Any]) -> None:
    """A resumed run goes on as it was; what it would ignore is refused.

    Raises:
        UserError: names the option and its value in the run.
    """
    free = {"data.path", "data.encoding", "checkpoint.minutes"}
    for key, (before, now) in cli.changes().items():
        if key.split(".")[0] != "trainer" and key not in free:
            raise UserError(
                f"--{key} {now}: a resumed run goes on with {before}, so this would be ignored or contradict the "
                f"checkpoint.\nLeave it out, or start a new run from these weights: --finetune {cli.request.ckpt_path}"
            )


def _refuse_finished(cli: CommandLine, checkpoint: dict[str, Any], model: str) -> None:
    """A run that has nothing left to do says so.

    Raises:
        UserError: with what to set.
    """
    through = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
    epochs = checkpoint["epoch"] + bool(through)
    max_epochs, max_steps = cli.config.trainer.max_epochs, cli.config.trainer.max_steps
    if max_epochs not in (None, -1) and epochs >= max_epochs:
        raise UserError(
            f"this run is finished: it has done {epochs} of {max_epochs} epochs. To go on: train.py --model {model} "
            f"--ckpt_path {cli.request.ckpt_path} --trainer.max_epochs {epochs + max(1, epochs // 2)}"
        )
    if max_steps not in (None, -1) and checkpoint["global_step"] >= max_steps:
        raise UserError(
            f"this run is finished: it has done {checkpoint['global_step']} of {max_steps} steps. "
            "To go on, set a larger --trainer.max_steps"
        )


def _finetune(model: Topic, request: Request) -> None:
    """Takes the weights of a checkpoint that fit, and says which do not."""
    path, checkpoint = _open(request, request.finetune or "")
    loaded, kept = model.load_weights(checkpoint)
    if is_first_process():
        print(f"from {path}: {len(loaded)} tensors loaded, {len(kept)} not")
        for name, reason in kept.items():
            print(f"  {name}: {reason}")
    if not loaded:
        raise UserError(f"{path} has no weights that fit this model")


# ---------------------------------------------------------------------- recipes, help, errors


def find_recipes(model: str, data: str) -> list[Path]:
    """The recipes of a model on a data set, later ones over earlier ones: MODEL.yaml, MODEL-DATA.yaml."""
    beside = Path(__file__).parent / "conf"  # in a wheel; in a checkout one folder up
    folder = beside if beside.is_dir() else Path(__file__).parent.parent / "conf"
    return [file for name in (model, f"{model}-{data}") if (file := folder / f"{name}.yaml").is_file()]


def _help(request: Request) -> str:
    """The arguments of a model and its data, or the trainer's."""
    if request.verb == "predict":
        from lightning_nn.predict import parser as predict_parser

        return predict_parser().format_help()
    if not request.model:
        path, checkpoint = _open(request, request.ckpt_path or "")
        request = _as_saved(request, path, checkpoint)
    assert request.model
    data = request.data or catalog.MODELS[request.model].data
    parser = CommandLine(request._replace(rest=[]), request.model, data).parser
    parser.usage = f"train.py [command] --model {request.model} --data {data} [--GROUP.NAME VALUE ...]"
    if request.help == "own":
        parser.epilog = f"The trainer's arguments (--trainer.…): train.py --model {request.model} --help trainer"
        parser._action_groups = [group for group in parser._action_groups if not _is_trainers(group)]
    else:
        parser._action_groups = [group for group in parser._action_groups if _is_trainers(group)]
    return parser.format_help()


def _is_trainers(group: Any) -> bool:
    return any(action.dest.startswith("trainer.") for action in group._group_actions)


def _explain(message: str, parser: LightningArgumentParser, argv: list[str]) -> str:
    """jsonargparse's complaint in a line, with the nearest option there is."""
    if message.startswith("Problems parsing config"):
        message = f"{_config_files(argv)}: {message}"
    options = [o for action in parser._actions for o in action.option_strings if o.startswith("--")]
    unknown = re.search(r"[Uu]nrecognized arguments: (\S+)", message) or re.search(r"Option '(\S+)' is not", message)
    if unknown:
        name = unknown[1].partition("=")[0]
        return f"unknown option {name}{nearest(name, options)}"
    missing = re.search(r'Key "([\w.]+)" is required', message)
    if missing:
        return f"--{missing[1]} is required"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def _config_files(argv: list[str]) -> str:
    return " or ".join(file for option, file in itertools.pairwise(argv) if option in ("-c", "--config"))


def _flat(config: Namespace) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not isinstance(value, Namespace)}


def _parameters(topic: type[Topic]) -> list[str]:
    return [name for name in topic.__init__.__annotations__ if name != "return"]


def _show_data(data: DataModule) -> None:
    """The table of the data, on standard output."""
    from rich.console import Console
    from rich.table import Table

    header, *rows = data.summary
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 80, highlight=False, markup=False).print(table)
    for note in data.notes:
        print(note)
    sys.stdout.flush()


@contextmanager
def _calm() -> Iterator[None]:
    """Lightning without its advertisement, and without the messages nobody can act on."""

    names = ("utilities.rank_zero", "utilities.seed", "trainer.connectors.checkpoint_connector")
    roots = ("pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(f"{root}.{name}") for root in roots for name in names]
    for logger in loggers:
        logger.addFilter(_worth_saying)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*LeafSpec.*",
                ".*smaller than the logging interval.*",
                ".*Checkpoint directory .* exists and is not empty.*",
                ".*module\\(s\\) in eval mode.*",
                ".*is not a multiple of.*",
                ".*overridden `on_before_batch_transfer`.*",
                ".*could not find the monitored key.*",  # before the first validation; later it is an error
                ".*The dirpath has changed from.*",  # a checkpoint from elsewhere begins a run here
                r"(?s).*(Jsonargparse|v5\.0\.0).*",  # names that the next jsonargparse drops, used by Lightning too
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not _CHATTER.search(record.getMessage())
