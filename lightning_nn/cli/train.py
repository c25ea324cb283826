"""The verbs: a command line's request to a trained, tested or asked model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from rich.table import Table

from lightning_nn import catalog
from lightning_nn.callbacks.early_stopping import ResumableEarlyStopping
from lightning_nn.callbacks.run_statistics import RunStatistics
from lightning_nn.cli.console import quiet_lightning, show_results
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.request import Request, refuse_training_options
from lightning_nn.cli.resume import (
    as_saved,
    longer_time,
    open_checkpoint,
    refuse_finished,
    refuse_ignored,
    refuse_left_out,
    refuse_other_splits,
    run_settings,
    saved_digest,
    saved_settings,
    say_left_out,
    say_paths,
    say_schedule,
)
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.results import save_results
from lightning_nn.runs.run_folder import Run, is_first_process, resume_command
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.base import Task


def execute(request: Request) -> int:
    """Does what a command line asks for.

    Returns:
        The exit code.

    Raises:
        UserError: what a person can mend.
    """
    with quiet_lightning():
        try:
            code = _do(request)
        except MisconfigurationException as error:  # what Lightning calls a person's slip
            raise UserError(str(error).strip()) from None
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # gloo's threads may abort a process that ends with them
    return code


def _do(request: Request) -> int:
    if request.help:
        print(_help(request))
        return 0
    if request.verb == "predict":
        from lightning_nn.cli.predict import predict

        return predict(request)
    if request.verb in ("validate", "test"):
        return _evaluate(request)
    return _train(request)


def _train(request: Request) -> int:
    """Fits, and without a verb tests the best checkpoint; or goes on with a run."""
    if request.ckpt_path and request.finetune:
        raise UserError(
            "--ckpt_path goes on with a run, --finetune starts a new one from its weights: give one of them"
        )
    cli, data, model, run, checkpoint = _resumed(request) if request.ckpt_path else _begun(request)
    record = RunStatistics()
    trainer = cli.make_trainer(run, record, checkpoint)
    path = None if checkpoint is None else str(checkpoint.path.absolute())
    del checkpoint  # its tensors need not outlive the start
    rehearsal = bool(cast(Any, trainer).fast_dev_run)
    if trainer.is_global_zero:
        where = "nothing is kept" if rehearsal else f"run {run.folder}"
        print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters()):,} parameters; {where}\n")
        if rehearsal:
            run.discard()
        else:
            cli.save(run)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=path)
    except (KeyboardInterrupt, SystemExit):
        if not trainer.interrupted:
            raise
    except UserError as error:
        kept = f"\nThe last good checkpoint is {run.last}" if run.last.is_file() else ""
        raise UserError(f"{error}{kept}") from error
    if trainer.interrupted:
        if trainer.is_global_zero:
            saved = f"stopped; saved {run.last}\ngo on with: {resume_command(run, cli.model_name)}"
            print(f"\n{saved if run.last.is_file() else 'stopped before a checkpoint was written'}", file=sys.stderr)
        return 130
    if not rehearsal:
        _finish(cli, trainer, model, data, run, record)
    return 0


class TrainingSetup(NamedTuple):
    """What a training starts from: the settings, data, model, where it is kept, and the checkpoint if it goes on."""

    cli: CommandLine
    data: DataModule
    model: Task
    run: Run
    checkpoint: Checkpoint | None


def _begun(request: Request) -> TrainingSetup:
    """A new run, from scratch or from the weights of another."""
    assert request.model
    cli = CommandLine(request, request.model, request.data or catalog.MODELS[request.model].data)
    cli.check()
    tuned = open_checkpoint(request, request.finetune) if request.finetune else None
    if tuned is not None and tuned.model == request.model:
        saved = saved_settings(tuned)
        say_left_out(saved.left_out, tuned.path)
        cli.keep_form(saved.group("model"))
    data = _prepared(cli)
    model = cli.make_model(data)
    if tuned is not None:
        _finetune(model, tuned, data)
    return TrainingSetup(cli, data, model, Run.new(request.folder, request.model, request.name), None)


def _resumed(request: Request) -> TrainingSetup:
    """A run that goes on: from last.ckpt in its folder, from any other checkpoint in a new one, so nothing is lost."""
    checkpoint = open_checkpoint(request, request.ckpt_path or "")
    path, saved = checkpoint.path, checkpoint.data
    if saved is not None and request.data not in (None, saved):
        raise UserError(
            f"{path} was trained on --data {saved}, with which a resumed run goes on; for --data {request.data} start "
            f"a new run from these weights: --finetune {request.ckpt_path}"
        )
    request = as_saved(request, checkpoint)
    assert request.model and request.data
    home = Run.of(path)
    run = home if home is not None and path.name == home.last.name else None
    if run is not None and request.name:
        raise UserError(f"--name {request.name}: a resumed run stays in its folder, {run.folder}; leave it out")
    settings = run_settings(checkpoint, request.data, home)
    cli = CommandLine(request, request.model, request.data, [], settings.taken)
    refuse_left_out(cli, settings.left_out, path)
    cli.check()
    refuse_ignored(cli)
    refuse_finished(cli, checkpoint)
    say_paths(cli, settings, checkpoint)
    if run is not None:
        run.claim()
    data = _prepared(cli, checkpoint.processor())
    refuse_other_splits(data, checkpoint)
    if is_first_process() and "trainer.max_epochs" in cli.changes():
        say_schedule(cli)
    model = cli.make_model(data)
    model.load_state(checkpoint)
    return TrainingSetup(cli, data, model, run or Run.new(request.folder, request.model, request.name), checkpoint)


def _prepared(cli: CommandLine, processor: Any = None) -> DataModule:
    """The data, read as a checkpoint does if there is one, with its table shown."""
    data = cli.make_data()
    data.use_processor(processor)
    data.prepare_once()
    if is_first_process():
        _show_data(data, sys.stdout)
    return data


def _finish(cli: CommandLine, trainer: Trainer, model: Task, data: DataModule, run: Run, record: RunStatistics) -> None:
    """Tests the best checkpoint, unless only `fit` was asked for; keeps the results and shows them."""
    request = cli.request
    run.folder = Path(trainer.strategy.broadcast(str(run.folder)))  # rank 0 has named it
    results = record.results(trainer, model, cli.config.seed_everything)
    results = {"model": cli.model_name, "data": cli.data_name, "command": request.command, **results}
    if trainer.is_global_zero:
        save_results(run.results, results, trained=True)
    if request.verb == "" and trainer.strategy.broadcast(run.best.is_file()):
        trainer.test(model, datamodule=data, ckpt_path=str(run.best.absolute()), verbose=False)
        results = {**{k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("test/")}, **results}
    if trainer.is_global_zero:
        save_results(run.results, results)
        show_results(run, results, cli.model_name, _more(cli, trainer))
        if request.verb == "" and not run.best.is_file():
            print("not tested: there is no best checkpoint, because nothing was validated or checkpoints were off")


def _more(cli: CommandLine, trainer: Trainer) -> str:
    """Return the option that lets a run that has ended go on."""
    stop = trainer.early_stopping_callback
    if isinstance(stop, ResumableEarlyStopping) and stop.stopping:
        return f"--early_stopping.patience {2 * max(stop.patience, stop.wait_count)}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"--trainer.max_steps {2 * trainer.max_steps}"
    for timer in cast(Any, trainer).callbacks:
        if isinstance(timer, Timer) and cli.config.trainer.max_time and (longer := longer_time(timer)):
            return f"--trainer.max_time {longer}"
    return f"--trainer.max_epochs {2 * trainer.current_epoch}"


def _evaluate(request: Request) -> int:
    """Figures of a checkpoint on validation or test; the test of a run's best goes to its results.json as well."""
    if not request.ckpt_path:
        raise UserError(f"say what to {request.verb}: --ckpt_path last, best or FILE")
    refuse_training_options(request)
    checkpoint = open_checkpoint(request, request.ckpt_path)
    path = checkpoint.path
    request = as_saved(request, checkpoint)
    assert request.model and request.data
    settings = saved_settings(checkpoint, request.data)
    cli = CommandLine(request, request.model, request.data, [], settings.taken)
    say_left_out([name for name in settings.left_out if not cli.gives(name)], path)
    changes = cli.changes()
    decided = {f"data.{name}" for name in cli.data_module.reading}
    contradicted = [k for k in changes if k.split(".")[0] in ("model", "optimizer", "lr_scheduler", "loss")]
    contradicted += [k for k in changes if k in decided]
    if contradicted:
        raise UserError(f"--{contradicted[0]} contradicts {path}, which decides it; leave it out")
    say_paths(cli, settings, checkpoint)
    data = cli.make_data()
    data.use_processor(checkpoint.processor())
    split = "val" if request.verb == "validate" else "test"
    if "data.path" in changes:
        data.evaluate_only(split)
    data.require_split(split)
    if data.evaluation_split is None and split not in data.provided_splits and request.data == checkpoint.data:
        refuse_other_splits(data, checkpoint)
    if is_first_process():
        _show_data(data, sys.stderr)
    model = cli.topic.from_checkpoint(checkpoint)
    trainer = cli.make_trainer(None)
    evaluate = trainer.validate if split == "val" else trainer.test
    (metrics,) = evaluate(model, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        answer = {"checkpoint": str(path), "samples": len(data.sources[split]), **metrics}
        print(json.dumps(answer, indent=2, ensure_ascii=False), flush=True)
        run = Run.of(path)
        same = request.data == checkpoint.data and not any(map(_decides_figures, changes))
        same = same and saved_digest(data, checkpoint) in (None, data.split_digest)
        if request.verb == "test" and run is not None and path.name == run.best.name and same:
            save_results(run.results, dict(metrics))
    return 0


def _decides_figures(option: str) -> bool:
    """Whether figures under this option are not the run's own."""
    free = ("trainer.accelerator", "trainer.devices", "trainer.strategy", "trainer.enable_progress_bar")
    return option.startswith(("data.", "trainer.")) and option not in free


def _finetune(model: Task, checkpoint: Checkpoint, data: DataModule) -> None:
    """Takes the weights of a checkpoint that fit, and says which do not."""
    loaded, kept = model.load_weights(checkpoint, data.processor)
    if is_first_process():
        print(f"from {checkpoint.path}: {len(loaded)} tensors loaded, {len(kept)} not")
        for name, what in loaded.items():
            print(sanitize(f"  {name}{what and ': '}{what}"))
        for name, reason in kept.items():
            print(sanitize(f"  not {name}: {reason}"))
    if not loaded:
        raise UserError(f"{checkpoint.path} has no weights that fit this model")


def _help(request: Request) -> str:
    if request.verb == "predict":
        from lightning_nn.cli.predict import parser as predict_parser

        return predict_parser().format_help()
    if not request.model:
        request = as_saved(request, open_checkpoint(request, request.ckpt_path or ""))
    assert request.model
    data = request.data or catalog.MODELS[request.model].data
    return CommandLine(request._replace(rest=[]), request.model, data).help()


def _show_data(data: DataModule, stream: TextIO) -> None:
    """The table of the data and what is to be said of it."""
    header, *rows = data.summary
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(sanitize, row))
    Console(file=stream, width=None if stream.isatty() else 80, highlight=False, markup=False).print(table)
    for note in data.notes:
        print(sanitize(note), file=stream)
    stream.flush()
