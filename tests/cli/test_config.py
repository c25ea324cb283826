"""A run's own config.yaml starts a run: it names model and data, and holds every setting."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import command, environment, process, same_bits, write_reviews

SOFTMAX = ("--model", "softmax", "--model.hidden", "[8]", "--optimizer.lr", "0.2")
LSTM = "--model lstm --data text --data.path reviews.csv --model.embedding_size 4 --model.hidden_size 4"
COMMON = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--name", "r")
CONFIG = {model: f"logs/{model}/r/config.yaml" for model in ("softmax", "lstm")}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of softmax and one of lstm."""
    cwd = tmp_path_factory.mktemp("begun")
    write_reviews(cwd / "reviews.csv")
    for options in (SOFTMAX, LSTM.split()):
        command("fit", *options, "--data.batch_size", "32", "--seed_everything", "5", *COMMON, cwd=cwd).ok()
    return cwd


@pytest.fixture
def cwd(begun: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(begun, tmp_path / "copy"))


@pytest.mark.parametrize("model", CONFIG)
def test_a_config_starts_the_same_run(model: str, cwd: Path) -> None:
    command("fit", "-c", CONFIG[model], "--name", "again", cwd=cwd).ok()
    first, again = (cwd / f"logs/{model}/{name}" for name in ("r", "again"))
    assert same_bits(first / "checkpoints/last.ckpt", again / "checkpoints/last.ckpt")
    assert (first / "config.yaml").read_text("utf-8") == (again / "config.yaml").read_text("utf-8")


def test_it_names_model_and_data_and_is_what_print_config_shows(cwd: Path) -> None:
    text = (cwd / CONFIG["lstm"]).read_text(encoding="utf-8")
    kept = yaml.safe_load(text)
    assert (kept["model_name"], kept["data_name"], kept["data"]["path"]) == ("lstm", "text", "reviews.csv")
    assert command("-c", CONFIG["lstm"], "--print_config", cwd=cwd).ok().out == text


def test_the_command_line_counts_for_more(cwd: Path) -> None:
    shown = command(f"--config={CONFIG['softmax']}", "--optimizer.lr", "0.5", "--print_config", cwd=cwd).ok().out
    assert yaml.safe_load(shown)["optimizer"]["lr"] == 0.5
    assert yaml.safe_load(shown)["model"]["hidden"] == [8]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--model", "han", "-c", CONFIG["lstm"]), ("config.yaml", "--model lstm", "--model han")),
        (("--data", "bulletins", "-c", CONFIG["lstm"]), ("config.yaml", "--data text", "--data bulletins")),
        (("--ckpt_path", "logs/softmax/r/checkpoints/last.ckpt", "-c", CONFIG["lstm"]), ("config.yaml",)),
        (("-c", "odd.yaml"), ("odd.yaml", "model_name", "a name")),
        (("-c", "unknown.yaml"), ("unknown model 'mine'",)),
    ],
)
def test_a_config_of_other_names_is_refused(argv: tuple[str, ...], words: tuple[str, ...], cwd: Path) -> None:
    (cwd / "odd.yaml").write_text("model_name: [1]\n", encoding="utf-8")
    (cwd / "unknown.yaml").write_text("model_name: mine\n", encoding="utf-8")
    command(*argv, cwd=cwd).refused(*words)


def test_what_a_setting_names_is_written_so_that_it_can_be_read(tmp_path: Path) -> None:
    timer = "--trainer.callbacks+=pytorch_lightning.callbacks.Timer"
    shown = command(*SOFTMAX, timer, "--print_config", cwd=tmp_path).ok().out
    (tmp_path / "mine.yaml").write_text(shown, encoding="utf-8")
    assert "interval: step" in shown
    assert command("-c", "mine.yaml", "--print_config", cwd=tmp_path).ok().out == shown


def test_python_m_works_as_train_py_does(cwd: Path) -> None:
    module = "import runpy; runpy.run_module('lightning_nn', run_name='__main__', alter_sys=True)"
    said = process("fit", *SOFTMAX, *COMMON[:-1], "m", script=module, cwd=cwd).ok().out
    assert "resume       python -m lightning_nn --model softmax --ckpt_path logs/softmax/m/" in said
    line = [sys.executable, "-m", "lightning_nn", "--help"]
    done = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m lightning_nn [command]")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_file_of_settings_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("[" * 3000, encoding="utf-8")
    command("--model", "softmax", "-c", "deep.yaml", cwd=tmp_path).refused("can't read deep.yaml", "nested")
