"""`validate` and `test`: the metrics of a checkpoint, as JSON on standard output, and the files of a test."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lightning_nn import catalog
from lightning_nn.callbacks.tensorboard import TensorBoardCallback, tested_artifacts
from lightning_nn.cli.checkpoint import (
    as_saved,
    open_checkpoint,
    print_checkpoint,
    print_left_out,
    print_paths,
    saved_digest,
    saved_settings,
)
from lightning_nn.cli.console import show_data
from lightning_nn.cli.factory import check_processes, make_data, make_trainer, share_features
from lightning_nn.cli.parser import TASK_SETTINGS, CommandLine
from lightning_nn.cli.report import write_report
from lightning_nn.cli.request import Request
from lightning_nn.cli.resume import predict_command, refuse_other_splits
from lightning_nn.cli.scores import by_class, show_test
from lightning_nn.data.cache import cache_folder
from lightning_nn.data.duplicates import matches, recall_trained
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, is_first_process, load_results, save_results

ALLOWED = 0.05  # share of the samples to evaluate on that may be training samples


def evaluate(request: Request) -> int:
    """Run `validate` or `test`; a test writes results.json, pages and tables into a folder that it names.

    It is that of the run for the test of its best checkpoint on its data, else a new one in the folder `tests` of the
    run. What is measured over views of the images also stands in the run's results.json under their name, as in
    test/flip/acc.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint, or it does not fit the options.
    """
    if not request.ckpt_path:
        raise UserError(f"{request.verb} needs a checkpoint: --ckpt_path last, best or FILE")
    checkpoint = open_checkpoint(request, request.ckpt_path)
    print_checkpoint(checkpoint, request.ckpt_path, "testing" if request.verb == "test" else "validating")
    cli = _command_line(as_saved(request, checkpoint), checkpoint)
    split = "val" if request.verb == "validate" else "test"
    data = _prepared(cli, split, checkpoint)
    searched = {name: cli.arguments("model")[name] for name in cli.task.prediction_arguments}
    model = cli.task.from_checkpoint(checkpoint, **searched)
    model.views = cli.views
    share_features(model, data, compute=False)  # an evaluation reads one split only
    trainer, run = make_trainer(cli, None), _run_of_result(cli, data, split, checkpoint)
    place = _place_of_test(request, checkpoint, run if cli.views == "none" else None) if split == "test" else None
    if place is not None:
        trainer.callbacks.append(TensorBoardCallback(place.folder))  # type: ignore[attr-defined]
    (metrics,) = (trainer.validate if split == "val" else trainer.test)(model, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        answer = {"checkpoint": str(checkpoint.path), "samples": len(data.sources[split]), **metrics}
        of_test = {"command": request.command, "model": cli.model_name, "data": cli.data_name, **answer}
        folder = {} if place is None else {"folder": str(place.folder)}
        print(
            json.dumps({**folder, **answer}, indent=2, ensure_ascii=False), flush=True
        )  # before files, which may fail
        if run is not None:
            of_views = "test/" if cli.views == "none" else f"test/{cli.views}/"
            save_results(run.results, {name.replace("test/", of_views, 1): value for name, value in metrics.items()})
        if place is not None:
            save_results(place.results, {**({} if place is run else of_test), **by_class(model.class_scores(split))})
            show_test(model, tested_artifacts(trainer), sys.stderr)
            saved = load_results(place.results)
            first = {"repeat": saved.get("commands", [request.command])[0]}
            predict = predict_command(checkpoint.path, model, request)
            write_report(place, cli, saved, tested_artifacts(trainer), {**first, "predict": predict})
    return 0


def _place_of_test(request: Request, checkpoint: Checkpoint, run: Run | None) -> Run | None:
    """Return where a test writes its files; None if nothing can be written there.

    Args:
        request: the command line.
        checkpoint: the tested checkpoint.
        run: the run whose own test it is, if any.
    """
    home = run or Run.of(checkpoint.path) or Run(Path(request.folder, checkpoint.model))
    existing = next(folder for folder in (home.folder, *home.folder.absolute().parents) if folder.is_dir())
    return (run or home.new_test()) if os.access(existing, os.W_OK) else None


def _command_line(request: Request, checkpoint: Checkpoint) -> CommandLine:
    """Return the settings of an evaluation.

    Raises:
        UserError: the command line sets what the checkpoint decides.
    """
    assert request.model and request.data
    settings = saved_settings(checkpoint, request.data)
    cli = CommandLine(request, request.model, request.data, [], settings.taken)
    print_left_out([name for name in settings.left_out if not cli.gives(name)], checkpoint.path)
    of_predictions = tuple(f"model.{name}." for name in cli.task.prediction_arguments)
    reading = tuple(f"data.{name}" for name in cli.data_module.reading)
    for option in cli.changes():
        of_model = option.split(".")[0] in ("model", *TASK_SETTINGS) and not option.startswith(of_predictions)
        if of_model or option.startswith(reading):
            raise UserError(f"--{option} contradicts {checkpoint.path}, which decides it; leave it out")
    print_paths(cli, settings, checkpoint)
    check_processes(cli)
    cli.seed()
    return cli


def _prepared(cli: CommandLine, split: str, checkpoint: Checkpoint) -> DataModule:
    """Prepare the data, compare it with that of the training, and show its table.

    Raises:
        UserError: there is no such split, or the model has seen it in training.
    """
    data = make_data(cli)
    data.use_processor(checkpoint.processor())
    if "data.path" in cli.changes():
        data.evaluate_only(split)
    data.require_split(split)
    if data.evaluation_split is None and split not in data.provided_splits and cli.data_name == checkpoint.data:
        refuse_other_splits(data, checkpoint)
    data = compare_with_training(data, split, cli, checkpoint)
    if is_first_process():
        show_data(data, sys.stderr)
    return data


def _run_of_result(cli: CommandLine, data: DataModule, split: str, checkpoint: Checkpoint) -> Run | None:
    """Return the run whose own test this is, so that it keeps the metrics; None for another evaluation."""
    moved = {"data.path"} if data.evaluation_split is None else set()  # the training data may be under another path
    run, changes = Run.of(checkpoint.path), cli.changes().keys() - moved
    if run is None or split != "test" or cli.data_name != checkpoint.data or any(map(_decides_metrics, changes)):
        return None
    is_result = checkpoint.path.name == run.best.name or not run.best.is_file()
    return run if is_result and saved_digest(data, checkpoint) in (None, data.split_digest) else None


def _decides_metrics(option: str) -> bool:
    """Return whether this option makes metrics that are not the run's own."""
    free = ("trainer.accelerator", "trainer.devices", "trainer.strategy", "trainer.enable_progress_bar")
    return option.startswith(("model.", "data.", "trainer.")) and option not in free


def compare_with_training(data: DataModule, split: str, cli: CommandLine, checkpoint: Checkpoint) -> DataModule:
    """Count the samples to evaluate on that are training samples of the model, and add a note to the data.

    Args:
        data: the prepared data to evaluate on.
        split: the split to evaluate on.
        cli: the command line that made the data.
        checkpoint: checkpoint of the model.

    Returns:
        The data; if it is the training data under another path, the same data with the splits of the training.

    Raises:
        UserError: there are too many training samples.
    """
    path, trained = checkpoint.path, _state(data, checkpoint)
    if data.split_digest == trained.get("split_digest"):
        return data
    hashes = _training_hashes(data, trained.get("train_digest"))
    samples = data.fingerprints(split)
    seen = 0 if hashes is None else int((matches(samples, hashes) >= 0).sum())
    many = seen > ALLOWED * len(samples)
    if (many or hashes is None) and data.evaluation_split is not None and not cli.allow_seen:
        trained_on = _split_as_trained(cli, checkpoint, trained)
        if trained_on is not None:
            trained_on.notes.append(
                f"this is the data that {path} was trained on: its {split} split is used, as without --data.path; "
                "--data.allow_seen true uses all samples"
            )
            return trained_on
    if hashes is None:
        data.notes.append(
            f"not checked whether {split} samples are training samples of {path}: the hashes of those are "
            f"not in the cache of this machine, {cache_folder()}"
        )
        return data
    count = f"{seen:,} of {len(samples):,} {split} samples ({seen / len(samples):.1%})"
    share = f"{count} are training samples of {path}"
    if many and not cli.allow_seen:
        raise UserError(
            f"{share}: the model may have memorized these, so metrics on them say nothing about new samples. "
            "Remove them, or evaluate anyway: --data.allow_seen true"
        )
    data.notes.append(share)
    return data


def _state(data: DataModule, checkpoint: Checkpoint) -> dict[str, object]:
    """Return the state that the data module of the training saved in the checkpoint."""
    row = catalog.DATA.get(checkpoint.data or "")
    return checkpoint.data_state(type(data) if row is None else row.load())


def _training_hashes(data: DataModule, digest: object) -> Fingerprints | None:
    """Return hashes of the training samples: of the data if its train split has not changed, else from the cache."""
    if "train" in data.sources and data.digest(["train"]) == digest:
        return data.fingerprints("train")
    return recall_trained(digest)


def _split_as_trained(cli: CommandLine, checkpoint: Checkpoint, trained: dict[str, object]) -> DataModule | None:
    """Return the data with all its splits, if they are those of the training; else None."""
    whole = make_data(cli)
    whole.use_processor(checkpoint.processor())  # not that of the other data, which has its words and files
    try:
        whole.prepare_once()
    except UserError:  # such as a test file alone: other data
        return None
    return whole if whole.split_digest == trained.get("split_digest") else None
