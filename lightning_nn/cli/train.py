"""Training from the command line: start, resume and finish a run."""

from __future__ import annotations

import errno
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from pytorch_lightning import Trainer

from lightning_nn import catalog
from lightning_nn.callbacks.lightning_internals import is_restoring
from lightning_nn.callbacks.resume import option_to_go_on
from lightning_nn.callbacks.statistics import BestValidation, RunStatistics
from lightning_nn.callbacks.tensorboard import tested_artifacts, write_augmented
from lightning_nn.cli.checkpoint import (
    as_saved,
    find_checkpoint,
    open_checkpoint,
    print_left_out,
    print_paths,
    run_settings,
    saved_settings,
)
from lightning_nn.cli.class_balance import remarks_on_classes
from lightning_nn.cli.console import show_data, show_results, show_table, show_text
from lightning_nn.cli.factory import check_training, make_data, make_model, make_trainer, share_features
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.processes import decided_once
from lightning_nn.cli.report import write_report
from lightning_nn.cli.request import Request
from lightning_nn.cli.resume import (
    predict_command,
    print_schedule,
    refuse_finished,
    refuse_ignored,
    refuse_left_out,
    refuse_other_splits,
    resume_command,
)
from lightning_nn.cli.scores import by_class, show_test
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run, is_first_process, save_results
from lightning_nn.runs.saved_settings import names, shown
from lightning_nn.runs.weights_file import WeightsFile, embedded_weights, open_weights
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.task import Task

MOST_TIMES = 4  # the epochs of a recipe
_LENGTH = {f"trainer.{name}" for name in ("max_epochs", "max_steps", "max_time", "limit_train_batches", "fast_dev_run")}


def train(request: Request) -> int:
    """Start or resume a run: fit and, without a verb, test the best checkpoint."""
    if request.ckpt_path and request.finetune:
        raise UserError("--ckpt_path resumes a run, --finetune starts a new one from its weights: give one of them")
    with ExitStack() as held:
        return fit(_resumed(request, held) if request.ckpt_path else start_run(request, held))


def fit(setup: TrainingSetup) -> int:
    """Train and, without a verb, test the best checkpoint; return the exit code."""
    cli, data, model, run, checkpoint = setup
    if cli.show:
        write_augmented(run.folder, data.augmented(next(iter(data.train_dataloader()))), data)
        print(f"\nwhat the network sees: {run.folder / 'augmented.png'}")
        return 0
    record = RunStatistics(cli.request.command, BestValidation())
    trainer = make_trainer(cli, run, record, checkpoint)
    path = None if checkpoint is None else str(checkpoint.path.absolute())
    del setup, checkpoint  # frees its tensors before training
    rehearsal = bool(cast(Any, trainer).fast_dev_run)
    if model.measures_early:
        model.trainer = trainer
        model.begin(data.facts())
    if trainer.is_global_zero:
        _begin(cli, model, run, rehearsal)
    with _failures_explained(trainer, run, path):
        trainer.fit(model, datamodule=data, ckpt_path=path)
    if trainer.interrupted:
        if trainer.is_global_zero:
            saved = f"stopped; saved {run.last}\nresume with: {resume_command(run.last, cli.model_name, cli.request)}"
            saved = "\n".join([saved, *(f"picture {file}" for file in run.pictures)])
            print(f"\n{saved if run.last.is_file() else 'stopped before a checkpoint was written'}", file=sys.stderr)
        return 130
    if not rehearsal:
        with _full_disk_named(run):
            _finish(cli, trainer, model, data, run, record)
    return 0


def _begin(cli: CommandLine, model: Task, run: Run, rehearsal: bool) -> None:
    """Print what is trained, and write the settings to the folder of the run, which a rehearsal does not keep."""
    if rows := model.summary():
        print()
        show_table(rows, sys.stdout)
    where = "nothing is saved" if rehearsal else f"run {run.folder}"
    print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters()):,} parameters; {where}\n")
    if rehearsal:
        run.discard()
    else:
        cli.save(run)


@contextmanager
def _failures_explained(trainer: Trainer, run: Run, path: str | None) -> Iterator[None]:
    """Explain errors of a training, with what is left of it; an interruption by the user is none.

    Args:
        trainer: its trainer.
        run: its run.
        path: the checkpoint that it resumes from, if any.
    """
    try:
        with _full_disk_named(run):
            yield
    except (KeyboardInterrupt, SystemExit):
        if not trainer.interrupted:
            raise
    except UserError as error:
        kept = [f"The last good checkpoint is {run.last}"] * run.last.is_file()
        kept += [f"The picture is {file}" for file in run.pictures[:1]]
        raise UserError("\n".join([str(error), *[". ".join(kept)] * bool(kept)])) from error
    except Exception as error:
        if "conditioned on metric" in str(error):
            raise UserError(f"--trainer.callbacks: {error}") from None
        if path is None or not is_restoring(error):
            raise
        raise UserError(
            f"{path} is damaged: the state of its run can't be restored ({type(error).__name__}: {error}); "
            f"use another checkpoint, or only its weights: --finetune {path}"
        ) from error


@contextmanager
def _full_disk_named(run: Run) -> Iterator[None]:
    """Name the folder of a run where TensorBoard's writer, a thread of its own, finds no room on the disk."""
    hook = threading.excepthook
    threading.excepthook = lambda raised: None if _is_full(raised.exc_value) else hook(raised)
    try:
        yield
    except OSError as error:
        if not _is_full(error):
            raise
        raise UserError(f"can't write to {run.folder}: {error.strerror}; free space, and resume the run") from error
    finally:
        threading.excepthook = hook


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class TrainingSetup(NamedTuple):
    """Start of a training: settings, data, model, run, and the checkpoint if the run is resumed."""

    cli: CommandLine
    data: DataModule
    model: Task
    run: Run
    checkpoint: Checkpoint | None


def start_run(request: Request, held: ExitStack) -> TrainingSetup:
    """Set up a new run, from scratch or from the weights of another."""
    assert request.model
    cli = CommandLine(request, request.model, request.data or catalog.MODELS[request.model].data)
    check_training(cli)
    cli.seed()
    source, tuned = request.finetune, weights_to_tune(cli)
    data = prepared(cli)
    lengthen(cli, data)
    try:
        model = make_model(cli, data)
    except UserError as error:
        if not source or request.data or not cli.task.data_to_tune:
            raise
        raise UserError(f"{error}\nIt was made for --data {cli.data_name}; for {cli.task.data_to_tune}") from None
    if source:
        _finetune(model, tuned or open_weights(model.imagenet_weights()), data)
    share_features(model, data)
    return TrainingSetup(cli, data, model, new_run(request, held), None)


def lengthen(cli: CommandLine, data: DataModule) -> None:
    """Train on few samples for more epochs than the recipe says, which is for many, unless the person says how long.

    Args:
        cli: the settings, whose number of epochs is raised.
        data: the prepared data.
    """
    trainer = cli.config.trainer
    set_by_hand = _LENGTH & cli.changes().keys() or any(word.startswith("--trainer.max_epochs") for word in cli.argv)
    if set_by_hand or data.batch_size == "all" or "train" not in data.sources:
        return
    samples = len(data.sources["train"])
    steps = max(math.ceil(samples / (data.batch_size * trainer.accumulate_grad_batches)), 1)
    epochs = min(math.ceil(data.least_steps / steps), MOST_TIMES * trainer.max_epochs)
    if epochs <= trainer.max_epochs:
        return
    if is_first_process():
        print(
            f"{samples:,} samples are {steps:,} steps an epoch: {epochs} epochs instead of the {trainer.max_epochs} of "
            f"the recipe, which is for more samples (else: --trainer.max_epochs {trainer.max_epochs})"
        )
    trainer.max_epochs = epochs


def weights_to_tune(cli: CommandLine) -> Checkpoint | WeightsFile | None:
    """Open the weights that --finetune names, and give the model their form; None for ImageNet's, which follow it."""
    source, name, task = cli.request.finetune, cli.model_name, cli.task
    if source in (None, "imagenet"):
        return None
    if source == "embedded":
        weights: Checkpoint | WeightsFile = embedded_weights(task.embedded_model or name)
    else:
        weights = _opened(find_checkpoint(cli.request.folder, name, source), task)
    if isinstance(weights, Checkpoint):
        saved = saved_settings(weights)
        if form := task.form_of(weights.model, saved.group("model")):
            print_left_out(saved.left_out, weights.path)
            cli.keep_form(form)
            _keep_size(cli, form)
    cli.keep_form(task.form_of_weights(weights.state_dict))
    return weights


def _keep_size(cli: CommandLine, form: dict[str, Any]) -> None:
    """Read images at the size that the weights were trained on, unless the person says a size.

    Args:
        cli: the settings.
        form: arguments of the trained model.
    """
    before, size = cli.config.get("data.size"), form.get("height")
    if None in (before, size) or size == before or cli.gives("data.size"):
        return
    if size == form["width"]:
        cli.config["data.size"] = size
        if is_first_process():
            print(f"images are read at {size} pixels, as the weights were trained on (else: --data.size {before})")


def new_run(request: Request, held: ExitStack) -> Run:
    """Make the folder of a new run in the first process, and return the same run on every process."""
    assert request.model
    made: list[Run] = []

    def make() -> str:
        made.append(Run.new(request.folder, str(request.model), request.name))
        held.callback(made[0].release)
        return made[0].folder.name

    name = decided_once("LIGHTNING_NN_RUN", make)
    return made[0] if made else Run(Path(request.folder, request.model, name))


def _resumed(request: Request, held: ExitStack) -> TrainingSetup:
    """Set up a resumed run: from last.ckpt in its folder, from another checkpoint in a new one, so nothing is lost."""
    checkpoint = open_checkpoint(request, request.ckpt_path or "")
    path, saved = checkpoint.path, checkpoint.data
    if saved is not None and request.data not in (None, saved):
        raise UserError(
            f"{path} was trained on --data {saved}, which a resumed run keeps; for --data {request.data} start "
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
    check_training(cli)
    cli.seed()
    refuse_ignored(cli)
    refuse_finished(cli, checkpoint)
    print_paths(cli, settings, checkpoint)
    if run is not None:
        held.callback(run.release)
        run.claim()
    data = prepared(cli, checkpoint.processor())
    refuse_other_splits(data, checkpoint)
    if is_first_process() and "trainer.max_epochs" in cli.changes():
        print_schedule(cli)
    model = make_model(cli, data)
    model.load_state(checkpoint)
    share_features(model, data)
    return TrainingSetup(cli, data, model, run or new_run(request, held), checkpoint)


def prepared(cli: CommandLine, processor: Any = None) -> DataModule:
    """Prepare the data, with the processor of a checkpoint if there is one, and show its table."""
    data = make_data(cli)
    data.use_processor(processor)
    data.prepare_once()
    if is_first_process():
        show_data(data, sys.stdout)
        if processor is None:
            for remark in remarks_on_classes(cli, data):
                show_text(remark, sys.stdout)
        recipe = cli.task.short_recipe if processor is None else None
        if recipe and recipe not in " ".join(cli.request.argv) and getattr(data, "median_sentences", 2) <= 1:
            print(f"most documents are one sentence, as titles are: -c {recipe} is for such texts")
    return data


def _finish(cli: CommandLine, trainer: Trainer, model: Task, data: DataModule, run: Run, record: RunStatistics) -> None:
    """Test the best checkpoint, unless the verb is `fit`; save and show the results."""
    request = cli.request
    resume = f"{resume_command(run.last, cli.model_name, request)} {option_to_go_on(trainer)}"  # before the test, which
    results = record.results(trainer, model, cli.config.seed_everything)  # loads the callbacks of the best epoch
    results = {"model": cli.model_name, "data": cli.data_name, **results}
    if trainer.is_global_zero:
        save_results(run.results, results, trained=True)
    tested = run.best if "val" in data.sources else run.last  # without validation, the last state is the result
    tests = request.verb == "" and "test" in data.sources
    if tests and trainer.strategy.broadcast(tested.is_file()):
        trainer.test(model, datamodule=data, ckpt_path=str(tested.absolute()), verbose=False)
        measured = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
        results = {**measured, **results, **by_class(model.class_scores("test"))}
    if trainer.is_global_zero:
        save_results(run.results, results)
        predict = predict_command(tested, model, request) if tested.is_file() else ""
        show_test(model, tested_artifacts(trainer), sys.stdout)
        if tests and tested.is_file():
            commands = {"repeat": results["commands"][0], "resume": resume, "predict": predict}
            write_report(run, cli, results, tested_artifacts(trainer), commands)
        show_results(run, results, resume, predict)
        if tests and not tested.is_file():
            print("not tested: there is no best checkpoint, because nothing was validated or checkpoints were off")


def _finetune(model: Task, checkpoint: Checkpoint | WeightsFile, data: DataModule) -> None:
    """Load the weights of a checkpoint that fit, and print what was loaded by parts of the model.

    Raises:
        UserError: none fits; the message says what differs.
    """
    loaded, left = model.load_weights(checkpoint, data.processor)
    if not loaded:
        raise UserError(f"{checkpoint.path} has no weights that fit this model: {_why_not(model, checkpoint, left)}")
    if is_first_process():
        _show_loaded(model, checkpoint, loaded, left)


def _show_loaded(
    model: Task, checkpoint: Checkpoint | WeightsFile, loaded: dict[str, str], left: dict[str, str]
) -> None:
    """Print which tensors of a file were loaded, by parts of the model, and warn of those that stay random."""
    print(f"from {sanitize(str(checkpoint.path))}: {len(loaded)} tensors loaded, {len(left)} not")
    for note in getattr(checkpoint, "notes", ()):
        print(sanitize(f"  {note}"))
    tensors = model.state_dict().keys()
    parts = groupby([name for name in tensors if name in {**loaded, **left}], _part)
    rows = [_loaded_row(part, list(group), loaded, left) for part, group in parts]
    show_table([("part", "loaded", "not loaded"), *rows], sys.stdout)
    if foreign := [name for name in left if name not in tensors]:
        print(sanitize(f"only in the file: {names(foreign)}"))
    body = tuple(f"{layer}." for layer in model.layers_below_head)
    if random := [name for name in tensors if name in left and name.startswith(body)]:
        print(sanitize(f"warning: before the head these start at random: {names(random)}"))


def _loaded_row(part: str, tensors: list[str], loaded: dict[str, str], left: dict[str, str]) -> tuple[str, str, str]:
    fitting, lacking = [name for name in tensors if name in loaded], [name for name in tensors if name in left]
    remarks = [f"{len(fitting)}", *dict.fromkeys(loaded[name] for name in fitting if loaded[name])]
    reason = f"{len(lacking)}: {lacking[0].removeprefix(f'{part}.')} {left[lacking[0]]}" if lacking else ""
    return part, "; ".join(remarks) if fitting else "", reason


def _part(name: str) -> str:
    """Return the part of a model that a tensor belongs to: up to two names, such as net.layer1 or net.features."""
    *modules, tensor = name.split(".")
    return ".".join(takewhile(lambda module: not module.isdigit(), modules[:2])) or tensor


def _opened(path: Path, task: type[Task]) -> Checkpoint | WeightsFile:
    """Open a file of weights; for the name of a network in place of a file, name the options that download it."""
    if len(path.parts) == 1 and not path.exists() and path.name in get_args(_networks().Network):
        raise UserError(
            f"--finetune {path}: no such file; torchvision's weights: {task.network_option} {path} --finetune imagenet"
        )
    return open_weights(path)


def _networks() -> Any:
    """Import the classic networks, and with them torchvision, only where their names are needed."""
    from lightning_nn.backbones import torchvision

    return torchvision


def _why_not(model: Task, checkpoint: Checkpoint | WeightsFile, left: dict[str, str]) -> str:
    """Return why no weights of a file fit a model, and for those of a known network the option that takes them."""
    if network := _networks().recognise(checkpoint.state_dict).get("network"):
        return f"it holds {network}, which {model.network_option} {network} takes"
    unfit = [f"{shown(name)}: {reason}" for name, reason in left.items() if " here, " in reason]
    return unfit[0] if unfit else f"it holds {names(sorted(checkpoint.state_dict))}"
