"""A run meets data other than its training data, although every split has a file of its own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.commands import command, results, reviews

HAN = shlex.split(
    "--model han --data text --data.path data --data.vocabulary.segmenter chars --model.embedding_size 8 "
    "--model.hidden_size 4 "
    "--model.attention_size 4 --trainer.max_epochs 1 --name r"
)


def write(folder: Path, split: str, rows: list[tuple[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    text = "".join(f"{text},{label}\n" for text, label in rows)
    (folder / f"{split}.csv").write_text(f"text,label\n{text}", encoding="utf-8")


def test_changed_files_are_not_gone_on_with_nor_their_metrics_kept(tmp_path: Path) -> None:
    data, rows = tmp_path / "data", reviews(60)
    for split, some in (("train", rows[:40]), ("val", rows[40:50]), ("test", rows[50:])):
        write(data, split, some)
    command(*HAN, cwd=tmp_path).ok()
    before = results(tmp_path / "logs/han/r")
    write(data, "train", rows[:20])
    go_on = ("--ckpt_path", "last", "--trainer.max_epochs", "2")
    command(*go_on, cwd=tmp_path).refused("trained on", "--finetune", "--data.path")
    write(data, "train", rows[:40])
    write(data, "test", [(text, "差评") for text, _ in rows[50:]])
    tested = json.loads(command("test", "--ckpt_path", "best", cwd=tmp_path).ok().out)
    assert tested["samples"] == 10
    assert results(tmp_path / "logs/han/r") == before, "another file is not this run's test"
    write(data, "test", rows[50:])
    command("test", "--ckpt_path", "best", cwd=tmp_path).ok()
    command(*go_on, cwd=tmp_path).ok()
