"""The command line: general help, errors and exit codes; torch is imported only once a model is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_nn import catalog
from lightning_nn.cli.option_names import option_hint
from lightning_nn.cli.request import OPTIONS, Request, parse, refuse_options
from lightning_nn.cli.streams import LastingFile, lasting_streams
from lightning_nn.cli.verbs import VERBS, has_own_options, overview, own_options, verb_help
from lightning_nn.errors import UserError
from lightning_nn.runs import cores  # noqa: F401  counts what other processes take from here on
from lightning_nn.sanitize import sanitize

if TYPE_CHECKING:
    from lightning_nn.cli.parser import CommandLine


def main(argv: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0; 2 after a user error, which is printed on standard error; 130 after Ctrl-C.
    """
    with lasting_streams() as output:
        return _exit_code(sys.argv[1:] if argv is None else argv, output)


def _exit_code(argv: list[str], output: LastingFile | None) -> int:
    try:
        return _run(argv, output)
    except UserError as error:
        print("\n".join(map(sanitize, f"error: {error}".splitlines())), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except SystemExit as done:
        if isinstance(done.__context__, KeyboardInterrupt):  # Lightning ends a test like this
            print("stopped", file=sys.stderr)
            return 130
        return int(done.code or 0)  # --trainer.logger.help CLASS
    except BrokenPipeError:  # `... | head` closed the pipe
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {sanitize(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 2


def _run(argv: list[str], output: LastingFile | None) -> int:
    if output is not None:
        output.essential = True
    request = parse(argv)
    trains, named = request.verb in ("", "fit", "tune"), request.model or request.ckpt_path
    tunes = request.verb in VERBS and VERBS[request.verb].tunes
    if request.help and (has_own_options(request.verb) or not named):
        print(verb_help(request.verb) if request.verb else overview(), flush=True)
        return 0
    if trains and not named:
        if argv:
            raise UserError(_no_model(request.rest))
        print(overview(), flush=True)
        return 0
    if not trains:
        refuse_options(request, *["finetune"] * (not tunes), "name")
    request = request._replace(options=own_options(request.verb, request.rest))  # an error costs no import of torch
    _refuse_unreadable(argv)
    if output is not None:  # a training outlives the reader of its output
        output.essential = not trains or bool(request.help)
    code = execute(request) if trains or VERBS[request.verb].needs_model else VERBS[request.verb].run(request)
    sys.stdout.flush()
    return code


def _refuse_unreadable(argv: list[str]) -> None:
    """Refuse a table whose package is not installed before torch is imported, which takes seconds."""
    for value in (token.rpartition("=")[2] for token in argv):
        package = {".xlsx": "openpyxl", ".parquet": "pyarrow"}.get(Path(value).suffix.lower())
        if package and Path(value).is_file() and find_spec(package) is None:
            raise UserError(
                f'{value}: {package} is not installed, which reads such files: pip install -e ".[tables]", '
                f"or pip install {package}; or save the table as CSV (UTF-8)"
            )


def _no_model(rest: list[str]) -> str:
    names = [token.partition("=")[0] for token in rest if token.startswith("-")]
    hints = [(name, hint) for name in names if (hint := option_hint(name, OPTIONS)) in OPTIONS]
    if hints:
        name, hint = hints[0]
        return f"unknown option {name}; did you mean {hint!r}?"
    return f"choose a model with --model NAME: {', '.join(catalog.MODELS)}"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show what takes so long, in a terminal, until it is done."""
    if sys.stderr.isatty():
        print(f"{text} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def execute(request: Request) -> int:
    """Run the command that a command line asks for.

    Returns:
        The exit code.

    Raises:
        UserError: something that the user can fix.
    """
    with waiting("loading PyTorch"):
        import lightning_nn.compat  # noqa: F401  isort: skip  (before Lightning)
        import torch
        from pytorch_lightning.utilities.exceptions import MisconfigurationException

        from lightning_nn.cli.console import quiet_lightning
        from lightning_nn.cli.processes import is_lost_peer, one_fate
        from lightning_nn.runs.run_folder import is_first_process

    with quiet_lightning(), one_fate():
        try:
            code = _do(request)
        except MisconfigurationException as error:  # Lightning's user error
            raise UserError(str(error).strip()) from None
        except RuntimeError as error:
            if not is_lost_peer(error):
                raise
            if is_first_process():
                print("error: another process of this run has ended; its own message says why", file=sys.stderr)
            return 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # gloo's threads may abort a process that ends with them
    return code


def _do(request: Request) -> int:
    if request.help:
        print(_settings(request._replace(rest=[])).help())
        return 0
    if request.print_config and request.options is None:
        print(_settings(request).text(), end="")
        return 0
    return VERBS[request.verb or "fit"].run(request)


def _settings(request: Request) -> CommandLine:
    """Return the settings with which a command line would start or resume."""
    from lightning_nn.cli.checkpoint import as_saved, open_checkpoint, run_settings, saved_settings
    from lightning_nn.cli.parser import CommandLine
    from lightning_nn.runs.run_folder import Run

    if request.ckpt_path is None:
        if request.model is None:
            raise UserError(f"choose a model with --model NAME: {', '.join(catalog.MODELS)}")
        return CommandLine(request, request.model, request.data or catalog.MODELS[request.model].data)
    checkpoint = open_checkpoint(request, request.ckpt_path)
    request = as_saved(request, checkpoint)
    assert request.model and request.data
    if request.verb in ("validate", "test"):
        taken = saved_settings(checkpoint, request.data).taken
    else:
        taken = run_settings(checkpoint, request.data, Run.of(checkpoint.path)).taken
    return CommandLine(request, request.model, request.data, [], taken)
