"""Pushing of model folders to the Hugging Face Hub, with the extra "hub"."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from lightning_nn.errors import UserError
from lightning_nn.sanitize import shorten

_REPO = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def check_push(repo: str) -> None:
    """Check the name of a repository, and that the package that pushes is installed.

    Args:
        repo: OWNER/NAME, or NAME for one's own.

    Raises:
        UserError: it is no such name, or the package is missing.
    """
    if not _REPO.fullmatch(repo):
        raise UserError(f"--push {shorten(repo)} names no repository of the Hugging Face Hub: expected OWNER/NAME")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UserError('--push needs huggingface_hub: pip install -e ".[hub]", or pip install huggingface_hub')


def push(folder: Path, files: Iterable[str], repo: str) -> str:
    """Push files of a model folder, and no others in it, to a repository, which is private if it is new.

    Args:
        folder: the model folder.
        files: their names.
        repo: OWNER/NAME, or NAME for one's own.

    Returns:
        Address of the repository.

    Raises:
        UserError: nobody is logged in, the repository is not theirs, or there is no connection.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(repo, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=url.repo_id, folder_path=folder, allow_patterns=list(files), commit_message="Model of lightning_nn"
        )
    except Exception as error:  # of one of several libraries, by version
        raise UserError(
            f"{folder} is written, but not pushed to {repo}: {shorten(' '.join(str(error).split()))}; log in by "
            f"`hf auth login`, then: hf upload {shlex.quote(repo)} {shlex.quote(str(folder))}"
        ) from error
    return str(url)
