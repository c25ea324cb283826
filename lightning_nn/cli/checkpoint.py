"""Model, data and trusted settings that a checkpoint decides."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from lightning_nn import catalog
from lightning_nn.cli.parser import SETTINGS, CommandLine
from lightning_nn.cli.processes import decided_once
from lightning_nn.cli.request import Request
from lightning_nn.cli.verbs import program
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, is_first_process, load_results
from lightning_nn.runs.saved_settings import PATHS, Saved, names, read_config, trusted
from lightning_nn.runs.weights_file import open_model
from lightning_nn.sanitize import sanitize

NEWEST = ("last", "best")  # names of checkpoints in the newest run


def find_checkpoint(logs: str, model: str | None, which: str) -> Path:
    """Find the file that `last`, `best` or a path means, the same on every process.

    Args:
        logs: folder of all runs.
        model: search the runs of this model; None for all models.
        which: last or best (of the newest run that has one), or a file. Of a run without validation, best is the last.

    Raises:
        UserError: there is no such run.
    """
    if which not in NEWEST:
        return Path(which)
    return Path(decided_once("LIGHTNING_NN_CKPT", lambda: str(_newest(logs, model, which))))


def _newest(logs: str, model: str | None, which: str) -> Path:
    runs = [Run(path.parent) for path in Path(logs).glob(f"{model or '*'}/*/checkpoints")]
    if files := [file for run in runs if (file := _result(run, which)) is not None]:
        return max(files, key=lambda path: path.stat().st_mtime)
    where = Path(logs) / (model or "")
    if which == "best" and any(run.last.is_file() for run in runs):
        raise UserError(f"no run in {where} has a best.ckpt, as none was validated yet; take --ckpt_path last")
    raise UserError(f"no run with a {which}.ckpt in {where}; train one first: {program()} --model {model or 'NAME'}")


def _result(run: Run, which: str) -> Path | None:
    """Return the last or best checkpoint of a run, if it has one; the last is also the best without validation."""
    if which == "best" and run.best.is_file():
        return run.best
    return run.last if run.last.is_file() and (which == "last" or _is_unvalidated(run)) else None


def _is_unvalidated(run: Run) -> bool:
    """Return whether the last state of a run is its result: its model is not validated, or it ended unvalidated."""
    model = catalog.MODELS.get(run.folder.absolute().parent.name)
    if model is not None and model.load().monitor is None:
        return True
    results = load_results(run.results)
    return "best_epoch" in results and results["best_epoch"] is None


def open_checkpoint(request: Request, which: str) -> Checkpoint:
    """Open the checkpoint that `last`, `best` or a path means.

    Raises:
        UserError: there is no such file, or it is not a checkpoint of lightning_nn.
    """
    return open_model(find_checkpoint(request.folder, request.model, which))


def open_trained(request: Request, which: str, doing: str) -> Checkpoint:
    """Open the checkpoint of a model of the catalog, and print which it is and what is not loaded of it.

    Args:
        request: the command line.
        which: last, best or a path.
        doing: such as "predicted by".

    Raises:
        UserError: there is no such file, or its model is not the one that the command line names.
    """
    checkpoint = open_checkpoint(request, which)
    saved_model(request, checkpoint)
    print_checkpoint(checkpoint, which, doing)
    print_left_out(saved_settings(checkpoint).left_out, checkpoint.path)
    return checkpoint


def print_checkpoint(checkpoint: Checkpoint, which: str, doing: str) -> None:
    """Print which checkpoint is used, and of which time if it was found as that of the newest run.

    Args:
        checkpoint: the open file.
        which: last, best or a path, as for `open_checkpoint`.
        doing: such as "predicted by".
    """
    if is_first_process():
        path, made = checkpoint.path, ""
        if which in NEWEST:
            unlike = ", which was not validated" * (path.stem != which)
            time = datetime.fromtimestamp(path.stat().st_mtime)
            made = f", {path.stem} of the newest run{unlike}, of {time:%Y-%m-%d %H:%M}"
        print(sanitize(f"{doing} {path} ({checkpoint.model}{made})"), file=sys.stderr, flush=True)


def as_saved(request: Request, checkpoint: Checkpoint) -> Request:
    """Return the request with model and data as the checkpoint has them.

    Raises:
        UserError: the command line names another model, or data that does not fit.
    """
    model, data, path = saved_model(request, checkpoint), request.data or checkpoint.data, checkpoint.path
    if data is None:  # saved by a Trainer in Python
        raise UserError(f"{path} does not say which data its model was trained on: name it with --data NAME")
    entry = catalog.MODELS[model]
    if not entry.fits(catalog.find(catalog.DATA, data, "data set")):
        raise UserError(f"{path} reads {' or '.join(entry.batch_types)}, which --data {data} does not give")
    return request._replace(model=model, data=data)


def saved_model(request: Request, checkpoint: Checkpoint) -> str:
    """Return the name of the model that a checkpoint holds.

    Raises:
        UserError: the command line names another model, or the catalog has no such model.
    """
    model = checkpoint.model
    if request.model not in (None, model):
        raise UserError(f"{checkpoint.path} holds the model {model!r}, not {request.model!r}: leave --model out")
    if model not in catalog.MODELS:
        raise UserError(
            f"{checkpoint.path} holds the model {sanitize(model)!r}, which is not in the catalog"
            f"{nearest(model, catalog.MODELS)}\nIf it is your own, name the module that registers it: --import MODULE"
        )
    return model


def saved_settings(checkpoint: Checkpoint, data: str | None = None) -> Saved:
    """Return the trusted settings of a checkpoint: those of its model, its training and the data.

    Args:
        checkpoint: the open file.
        data: name of the data set to read, if any.
    """
    return trusted(_said(checkpoint, data), _classes(checkpoint, data))


def run_settings(checkpoint: Checkpoint, data: str, run: Run | None) -> Saved:
    """Return these settings and those of the run that wrote the checkpoint: trainer, seed, and when it stops.

    Args:
        checkpoint: the open file.
        data: name of the data set to read.
        run: run in whose folder the checkpoint is, if any; its config.yaml overrides the checkpoint.

    Raises:
        UserError: its config.yaml can't be read.
    """
    sources = [checkpoint.run, *_said(checkpoint, data)]
    if run is not None:
        try:
            sources.append(read_config(run.config.read_text(encoding="utf-8"), str(run.config)))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"can't read {run.config}: {error}") from None
    trainer = {name: parameter.default for name, parameter in signature(Trainer).parameters.items()}
    return trusted(sources, _classes(checkpoint, data), trainer)


def _said(checkpoint: Checkpoint, data: str | None) -> list[dict[str, Any]]:
    if data is None:
        return [checkpoint.settings, {"model": checkpoint.arguments}]
    of_data = checkpoint.data_arguments
    if data != checkpoint.data:  # another data set has other options
        taken = signature(catalog.DATA[data].load()).parameters
        of_data = {name: value for name, value in of_data.items() if name in taken}
    return [checkpoint.settings, {"model": checkpoint.arguments, "data": of_data}]


def _classes(checkpoint: Checkpoint, data: str | None) -> dict[str, type]:
    model = catalog.find(catalog.MODELS, checkpoint.model, "model").load()
    return {"model": model, **SETTINGS, **({"data": catalog.DATA[data].load()} if data else {})}


def print_left_out(left_out: list[str], path: Path) -> None:
    """Print a line that names the settings of a checkpoint that are not loaded.

    Args:
        left_out: names of the settings.
        path: the checkpoint.
    """
    if left_out and is_first_process():
        run = Run.of(path)
        trust = f"; if you trust it: -c {shlex.quote(str(run.config))}" if run is not None else ""
        settings = f"{names(left_out)} of {'the run' if run else path}"
        print(
            f"{sanitize(settings)} {'is' if len(left_out) == 1 else 'are'} not loaded from its file{sanitize(trust)}",
            file=sys.stderr,
        )


def print_paths(cli: CommandLine, saved: Saved, checkpoint: Checkpoint) -> None:
    """Print which files are read because a checkpoint names them, before they are read."""
    decided = cli.data_module.reading if checkpoint.reads else ()
    for option in PATHS if is_first_process() else ():
        if saved.taken.get(option) and not cli.gives(option) and option.split(".")[1] not in decided:
            print(sanitize(f"reading {saved.taken[option]}, the --{option} of {checkpoint.path}"), file=sys.stderr)


def saved_digest(data: DataModule, checkpoint: Checkpoint) -> str | None:
    """Return the digest of the splits that a checkpoint's model was trained with; None if it has none."""
    digest = checkpoint.data_state(type(data)).get("split_digest")
    return digest if isinstance(digest, str) else None
