"""The command line: the general help, errors and exit codes, without torch until a model is named."""

from __future__ import annotations

import sys

from lightning_nn import catalog
from lightning_nn.cli.request import OPTIONS, VERBS, parse
from lightning_nn.cli.streams import LastingFile, lasting_streams
from lightning_nn.errors import UserError, nearest
from lightning_nn.sanitize import sanitize


def main(argv: list[str] | None = None) -> int:
    """Runs a command line.

    Args:
        argv: without the program's name; those of the process by default.

    Returns:
        The exit code: 0; 2 for what a person can mend, said on standard error; 130 after Ctrl-C.
    """
    with lasting_streams() as output:
        return _main(sys.argv[1:] if argv is None else argv, output)


def _main(argv: list[str], output: LastingFile | None) -> int:
    try:
        if output is not None:
            output.essential = True
        request = parse(argv)
        alone = ("predict",) if request.help else ("predict", "test", "validate")
        if not request.model and not request.ckpt_path and request.verb not in alone:
            if argv and not request.help:
                raise UserError(_no_model(request.rest))
            print(overview(), flush=True)
            return 0
        import lightning_nn.compat  # noqa: F401  isort: skip  (before Lightning)
        from lightning_nn.cli.train import execute

        if output is not None:  # a training outlives the one who reads what it says
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
        if isinstance(done.__context__, KeyboardInterrupt):  # as Lightning ends a test
            print("stopped", file=sys.stderr)
            return 130
        return int(done.code or 0)  # --print_config
    except BrokenPipeError:  # `... | head` closed the pipe
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {sanitize(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 2


def _no_model(rest: list[str]) -> str:
    options = [token for token in rest if token.startswith("-")]
    hint = next((h for o in options if "did you mean" in (h := nearest(o.partition("=")[0], OPTIONS))), None)
    if hint:
        return f"unknown option{hint}"
    return f"say which model: --model NAME; there are: {', '.join(catalog.MODELS)}"


def overview() -> str:
    """The general help: at most 45 lines of 80 columns."""
    models = [f"  {name:<10} {row.line:<42} {row.data}" for name, row in catalog.MODELS.items()]
    data = [f"  {name:<10} {row.line}" for name, row in catalog.DATA.items()]
    verbs = [f"  {name:<10} {line}" for name, line in VERBS.items()]
    return "\n".join(
        [
            "usage: train.py [command] --model NAME [--data NAME] [--GROUP.NAME VALUE ...]",
            "",
            "Neural networks, from one neuron on, as PyTorch Lightning modules.",
            "",
            f"models     {'what it is':<42} data, if none is named",
            *models,
            "",
            "data",
            *data,
            "",
            "commands   without one: fit, then test the best checkpoint",
            *verbs,
            "",
            "options",
            "  --model NAME --help     the arguments of a model and its data",
            "  --ckpt_path last|best|FILE   go on with a run; test or ask a checkpoint",
            "  --finetune FILE         start a new run from a checkpoint's weights",
            "  --folder DIR, --name NAME  where the run is kept (logs/MODEL/TIME)",
            "  -c FILE, --print_config, --seed_everything N",
            "",
            "examples",
            "  train.py --model han",
            "  train.py --model han --data text --data.path reviews.csv",
            '  train.py predict --ckpt_path last --data.text "……"',
        ]
    )
