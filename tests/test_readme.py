"""Every command that the READMEs and the guide show runs as it is shown, on small files and a few steps."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lightning_nn import catalog
from tests.commands import ROOT, command, reviews, write_reviews

GUIDE_PAGES = sorted(path.name for path in (ROOT / "docs/guide/en").iterdir())
PAGES = {"README.md": "README.zh.md", **{f"docs/guide/en/{name}": f"docs/guide/zh/{name}" for name in GUIDE_PAGES}}
# Settings that make a training short, and a folder of runs in place of RUN.
SHORT = shlex.split(
    "--trainer.limit_train_batches 2 --trainer.limit_val_batches 2 --trainer.limit_test_batches 2 "
    "--trainer.enable_progress_bar false"
)
FEW = ("--data.train_size", "200", "--data.val_size", "50", "--data.test_size", "50")
ELSEWHERE = ("pip ", "git ", "cd ", "tensorboard ", "torchrun ", "python benchmarks/", "pytest")  # tested by others
FIRST = "pip install -e . && python train.py --model han"


def blocks(page: str, language: str = r"\w*") -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def commands(page: str) -> list[str]:
    """Each command of the bash blocks, one a line, continued lines joined, comments left out."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def test_the_guide_has_the_same_pages_in_both_languages() -> None:
    assert sorted(path.name for path in (ROOT / "docs/guide/zh").iterdir()) == GUIDE_PAGES


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_code(page: str) -> None:
    english, chinese = blocks(page), blocks(PAGES[page])
    assert english, f"{page} shows no code"
    assert english == chinese


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_table_of_models_has_a_row_for_each_of_the_catalog(page: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", (ROOT / page).read_text(encoding="utf-8"), re.M)
    assert rows == [(name, str(entry.path).partition(":")[2]) for name, entry in catalog.MODELS.items()]


@pytest.mark.parametrize("page", [*PAGES, *PAGES.values()])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert not missing


def test_every_command_is_one_that_is_tested() -> None:
    known = ("python train.py", "lightning-nn ", "cat ", "echo ", *ELSEWHERE)
    unknown = [line for page in PAGES for line in commands(page) if not line.startswith(known)]
    assert not unknown, f"nobody tests {unknown}"


def runs_in_the_readme(page: str) -> bool:
    """Tell whether README.md has a page's commands, in the same order, perhaps with others between them."""
    whole = iter(commands("README.md"))
    return all(line in whole for line in commands(page))


@pytest.mark.parametrize("page", [page for page in PAGES if page == "README.md" or not runs_in_the_readme(page)])
def test_the_commands_run_in_their_order(page: str, folder: Path) -> None:
    ran = 0
    for line in commands(page):
        pipe, _, last = line.rpartition("|")
        argv = shlex.split(last, comments=True)
        if line == FIRST or line.startswith(ELSEWHERE):
            continue
        stdin = (folder / shlex.split(pipe)[-1]).read_bytes() if pipe else b""
        argv = argv[2:] if argv[0] == "python" else argv[1:]
        result = command(*shortened(argv), cwd=folder, stdin=stdin, drawn=page == "README.md")
        assert result.code == 0, f"{line}\n{result.err[-2000:]}"
        ran += 1
    assert ran, f"no command was found in {page}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), {})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name, and the run that the first command leaves."""
    folder = tmp_path_factory.mktemp("readme")
    small_files(folder)
    command("--model", "han", "--name", "RUN", "--trainer.max_epochs", "1", *SHORT, *FEW, cwd=folder).ok()
    return folder


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first, tmp_path / "copy")


def shortened(argv: list[str]) -> list[str]:
    """The command with few steps where it trains."""
    untrained = ("predict", "validate", "test", "export", "compare", "clean", "labels", "lesson")
    if argv[0] in untrained or "--help" in argv or "--print_config" in argv:
        return argv
    if "--trainer.max_epochs" not in argv:
        argv = [*argv, "--trainer.max_epochs", "1"]
    return [*argv, *SHORT]


def small_files(cwd: Path) -> None:
    """Write the files that the pages name."""
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
