"""`export --out FOLDER --push REPO`, with an object in place of the Hub."""

from __future__ import annotations

import shlex
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.commands import command


class Url(str):
    repo_id = "me/digits"


class Api:
    """Keeps what it was asked for; `fault` is raised instead."""

    fault: Exception | None = None
    asked: list[tuple[str, dict[str, Any]]]

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Url:
        self.asked.append((repo_id, {"private": private, "exist_ok": exist_ok}))
        return Url("https://hub.example/me/digits")

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str) -> None:
        if self.fault:
            raise self.fault
        self.asked.append((repo_id, {name: (Path(folder_path) / name).stat().st_size for name in allow_patterns}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Api]:
    module = ModuleType("huggingface_hub")
    module.__spec__ = ModuleSpec("huggingface_hub", None)
    module.HfApi = Api  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setattr(Api, "asked", [], raising=False)
    monkeypatch.setattr(Api, "fault", None)
    return Api


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("digits")
    quick = "--name r --trainer.max_epochs 1 --trainer.enable_progress_bar false --trainer.logger false"
    command(*shlex.split(f"fit --model softmax {quick}"), cwd=cwd).ok()
    return cwd


def test_the_files_of_the_model_are_pushed_and_no_others(trained: Path, hub: type[Api]) -> None:
    (trained / "out").mkdir()
    (trained / "out/secret.txt").write_text("mine", encoding="utf-8")
    said = command("export", "--ckpt_path", "best", "--out", "out", "--push", "digits", cwd=trained).ok()
    created, (repo, files) = hub.asked
    assert created == ("digits", {"private": True, "exist_ok": True})
    assert repo == "me/digits", "with its owner"
    assert files.keys() == {"model.safetensors", "config.json", "processor.json", "README.md"} and all(files.values())
    assert "pushed to https://hub.example/me/digits" in said.out


def test_a_push_that_fails_leaves_the_folder_and_says_how_to_go_on(trained: Path, hub: type[Api]) -> None:
    hub.fault = ConnectionError("no route\nto host")
    push = ("export", "--ckpt_path", "best", "--out", "kept", "--push", "me/digits")
    command(*push, cwd=trained).refused("not pushed to me/digits: no route to host", "hf upload me/digits kept")
    assert (trained / "kept/model.safetensors").is_file()


def test_wrong_pushes_are_refused_before_anything_is_written(
    trained: Path, hub: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(out: str, repo: str, *words: str) -> None:
        command("export", "--ckpt_path", "best", "--out", out, "--push", repo, cwd=trained).refused(*words)
        assert not (trained / out).exists() and not hub.asked

    refused("new", "a/b/c", "names no repository", "OWNER/NAME")
    refused("new.safetensors", "me/digits", "--push me/digits is for --out FOLDER")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    refused("new", "me/digits", 'pip install -e ".[hub]"')
