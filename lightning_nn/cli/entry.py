"""The command line: general help, errors and exit codes; torch is imported only once a model is named."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from lightning_nn import catalog
from lightning_nn.cli.hints import option_hint
from lightning_nn.cli.request import OPTIONS, parse, refuse_training_options
from lightning_nn.cli.streams import LastingFile, lasting_streams
from lightning_nn.cli.usage import overview, verb_help
from lightning_nn.errors import UserError
from lightning_nn.sanitize import sanitize


def main(argv: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0; 2 after a user error, which is printed on standard error; 130 after Ctrl-C.
    """
    with lasting_streams() as output:
        return _main(sys.argv[1:] if argv is None else argv, output)


def _main(argv: list[str], output: LastingFile | None) -> int:
    try:
        if output is not None:
            output.essential = True
        request = parse(argv)
        if request.verb == "predict" and request.help:
            from lightning_nn.cli.verb_options import parser as predict_parser

            print(predict_parser().format_help(), flush=True)
            return 0
        if request.verb == "export" and request.help:
            print(verb_help("export"), flush=True)
            return 0
        alone = () if request.help else ("predict", "export", "test", "validate")
        if not request.model and not request.ckpt_path and request.verb not in alone:
            if argv and not request.help:
                raise UserError(_no_model(request.rest))
            print(verb_help(request.verb) if request.verb else overview(), flush=True)
            return 0
        if request.verb in ("predict", "export"):  # an error in their options costs no import of torch
            from lightning_nn.cli.verb_options import parse_export, parse_options

            refuse_training_options(request)
            (parse_options if request.verb == "predict" else parse_export)(request.rest)
        _refuse_unreadable(argv)
        import lightning_nn.compat  # noqa: F401  isort: skip  (before Lightning)
        from lightning_nn.cli.dispatch import execute

        if output is not None:  # a training outlives the reader of its output
            output.essential = request.verb not in ("", "fit") or bool(request.help)
        code = execute(request)
        sys.stdout.flush()
        return code
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
