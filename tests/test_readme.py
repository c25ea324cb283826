"""Every command that the READMEs show runs as it is shown, on small files of those names and a few steps."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import ROOT, command, reviews, write_reviews

READMES = ("README.md", "README.zh.md")
# Settings that make a training short, and a folder of runs in place of RUN.
SHORT = shlex.split(
    "--trainer.limit_train_batches 2 --trainer.limit_val_batches 2 --trainer.limit_test_batches 2 "
    "--trainer.enable_progress_bar false"
)
FEW = ("--data.train_size", "200", "--data.val_size", "50", "--data.test_size", "50")
ELSEWHERE = ("pip ", "git ", "cd ", "tensorboard ", "torchrun ", "python benchmarks/", "pytest")  # tested by others
GUIDE = "pip install -e . && python train.py --model han"


def blocks(readme: str, language: str = r"\w*") -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def commands(readme: str) -> list[str]:
    """Each command of the bash blocks, one a line, continued lines joined, comments left out."""
    lines = "\n".join(blocks(readme, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = map(blocks, READMES)
    assert english, "README.md shows no code"
    assert english == chinese


def test_every_command_is_one_that_is_tested() -> None:
    known = ("python train.py", "lightning-nn ", "cat ", "echo ", *ELSEWHERE)
    unknown = [line for line in commands("README.md") if not line.startswith(known)]
    assert not unknown, f"nobody tests {unknown}"


def test_the_commands_run_in_their_order(tmp_path: Path) -> None:
    small_files(tmp_path)
    # What the guide's command leaves, from which the others go on.
    command("--model", "han", "--name", "RUN", "--trainer.max_epochs", "1", *SHORT, *FEW, cwd=tmp_path).ok()
    ran = 0
    for line in commands("README.md"):
        pipe, _, last = line.rpartition("|")
        argv = shlex.split(last, comments=True)
        if line == GUIDE or line.startswith(ELSEWHERE):
            continue
        stdin = (tmp_path / shlex.split(pipe)[-1]).read_bytes() if pipe else b""
        argv = argv[2:] if argv[0] == "python" else argv[1:]
        result = command(*shortened(argv), cwd=tmp_path, stdin=stdin)
        assert result.code == 0, f"{line}\n{result.err[-2000:]}"
        ran += 1
    assert ran >= 5, f"only {ran} commands were found"


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(tmp_path)
    command("--model", "han", "--name", "RUN", "--trainer.max_epochs", "1", *SHORT, *FEW, cwd=tmp_path).ok()
    monkeypatch.chdir(tmp_path)
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})


def shortened(argv: list[str]) -> list[str]:
    """The command with few steps where it trains."""
    if "--help" in argv or argv[0] in ("predict", "validate", "test", "export") or "--print_config" in argv:
        return argv
    if "--trainer.max_epochs" not in argv:
        argv = [*argv, "--trainer.max_epochs", "1"]
    return [*argv, *SHORT]


def small_files(cwd: Path) -> None:
    """The files that the READMEs name."""
    write_reviews(cwd / "reviews.csv")
    (cwd / "new.txt").write_text("质量很好，非常满意。\n质量太差。\n", encoding="utf-8")
    rows = reviews(60)
    news = "".join(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows)
    (cwd / "news.jsonl").write_text(news, encoding="utf-8")
    (cwd / "titles.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    for number in range(40):
        file = cwd / "pictures" / ("dark", "light")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (200 * (number % 2) + number,) * 3).save(file)
    for folder in ("streets/images", "streets/masks", "photos"):
        (cwd / folder).mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (40, 32), (20 * number,) * 3).save(cwd / f"streets/images/{number}.png")
        mask = Image.new("L", (40, 32))
        mask.paste(1, (0, 0, 20, 32))
        mask.save(cwd / f"streets/masks/{number}.png")
    for name, colour in (("one", (90, 120, 200)), ("two", (200, 90, 30))):
        Image.new("RGB", (50, 40), colour).save(cwd / f"photos/{name}.jpg")
    colours = {"red": (220, 30, 30), "blue": (30, 30, 220)}
    (cwd / "described").mkdir()
    lines = ["image,caption"]
    for number in range(40):
        name, colour = list(colours.items())[number % 2]
        Image.new("RGB", (64, 64), colour).save(cwd / f"described/{number}.png")
        lines.append(f"{number}.png,a {name} square")
    (cwd / "described" / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
