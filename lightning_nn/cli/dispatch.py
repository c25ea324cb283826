"""From a request to the verb that it asks for, and what all verbs share: errors of Lightning, help and settings."""

from __future__ import annotations

import sys

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lightning_nn import catalog
from lightning_nn.cli.console import quiet_lightning
from lightning_nn.cli.parser import CommandLine
from lightning_nn.cli.processes import is_lost_peer, one_fate
from lightning_nn.cli.request import Request
from lightning_nn.cli.saved import as_saved, open_checkpoint, run_settings, saved_settings
from lightning_nn.errors import UserError
from lightning_nn.runs.run_folder import Run, is_first_process


def execute(request: Request) -> int:
    """Run the command that a command line asks for.

    Returns:
        The exit code.

    Raises:
        UserError: something that the user can fix.
    """
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
        print(_help(request))
        return 0
    if request.print_config and request.verb not in ("predict", "export"):
        print(_settings(request).text(), end="")
        return 0
    if request.verb == "predict":
        from lightning_nn.cli.predict import predict

        return predict(request)
    if request.verb == "export":
        from lightning_nn.cli.export import export

        return export(request)
    if request.verb in ("validate", "test"):
        from lightning_nn.cli.evaluate import evaluate

        return evaluate(request)
    from lightning_nn.cli.train import train

    return train(request)


def _help(request: Request) -> str:
    return _settings(request._replace(rest=[])).help()


def _settings(request: Request) -> CommandLine:
    """Return the settings with which a command line would start or resume."""
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
