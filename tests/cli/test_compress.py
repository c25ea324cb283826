from __future__ import annotations

import json
from pathlib import Path

import pytest

from lightning_nn.cli.main import main
from lightning_nn.runs.checkpoint import Checkpoint
from tests.cases import texts

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def test_a_run_is_compressed_tested_before_and_after_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{text}\t{label}\n" for text, label in zip(*texts(90), strict=True)]
    Path("texts.tsv").write_text("".join(lines), encoding="utf-8")
    sizes = "--model.embedding_size 64 --model.hidden_size 4 --data.segmenter chars --optimizer.lr 0.02"
    train = f"--model lstm --data text --data.path texts.tsv {sizes} --trainer.max_epochs 1"
    assert main(train.split()) == 0
    capsys.readouterr()
    assert main(["compress", "--times", "1.5", "--epochs", "2"]) == 0
    header, before, after, last_line, *_ = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert header.split() == ["words", "bytes", "test/acc"]
    whole, small = (int(line.split()[2].replace(",", "")) for line in (before, after))
    assert small <= whole / 1.5
    runs = sorted(Path("logs/lstm").iterdir(), key=lambda run: (run / "checkpoints" / "best.ckpt").stat().st_mtime)
    results = [json.loads((run / "results.json").read_text()) for run in runs]
    for line, result in zip((before, after), results, strict=True):
        assert line.split()[3] == f"{result['test/acc']:.4f}"
    checkpoint = Checkpoint.open(runs[1] / "checkpoints" / "best.ckpt")
    assert checkpoint.arguments["embedding"]["kind"] == "coded"
    words = len(checkpoint.processor().row_labels()["words"])  # type: ignore[union-attr]
    assert words == int(after.split()[1]) <= int(before.split()[1])
    file = runs[1] / "model.safetensors"
    assert file.stat().st_size == small and f"times smaller: {file.relative_to('.')}" in last_line
    assert main(["predict", "--ckpt_path", str(file), "--data.text", texts(1)[0][0]]) == 0
    one = capsys.readouterr().out
    assert main(["predict", "--data.text", texts(1)[0][0]]) == 0
    assert capsys.readouterr().out.split()[0] == one.split()[0]
    assert main(["test", "--ckpt_path", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["test/acc"] == pytest.approx(float(after.split()[3]), abs=1e-4)
    assert main(["--ckpt_path", str(file)]) == 2
    assert "weights only, no run to resume: --finetune" in capsys.readouterr().err
    assert main(["export", "--out", "eight.safetensors", "--bits", "8"]) == 0
    assert "weights in 8 bits" in capsys.readouterr().out
    assert main(["predict", "--ckpt_path", "eight.safetensors", "--data.text", texts(1)[0][0]]) == 0
    assert main(["export", "--out", "eight.onnx", "--bits", "8"]) == 2
    assert "--bits 8 is for --out FOLDER or FILE.safetensors" in capsys.readouterr().err
    assert main(["--ckpt_path", "last", "--trainer.max_epochs", "3"]) == 0
    assert main(["compress", "--size", "1MB"]) == 2
    assert "bytes already, no more than 1,000,000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "compress needs a size"),
        ("--size 1MB --times 2", "one of the two"),
        ("--size big", "expected a size such as 500kB or 1MB, got 'big'"),
        ("--times 1", "--times is 1; it must be above 1"),
        ("--times 2 --epochs 0", "--epochs is 0"),
        ("--times 2 --bits 5", "--bits: invalid choice: 5"),
    ],
)
def test_a_size_is_needed(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", *options.split()]) == 2
    assert message in capsys.readouterr().err
