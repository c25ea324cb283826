from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.cli.console import quiet_lightning, show_results, show_text
from lightning_nn.runs.run_folder import Run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 60])
def test_no_name_of_a_metric_is_torn(width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", stream)
    results: dict[str, Any] = {"test/loss": 1.2071, "val/miou_ceiling": 0.5, "samples_per_second": 1234.5}
    results |= {f"test/iou/{'class ' * 4}{k}": 0.25 for k in range(3)} | {"note": "word " * 40}
    show_results(Run(tmp_path), results, "resume", "predict")
    lines = stream.getvalue().splitlines()
    for name in results:
        assert name == "note" or sum(name in line for line in lines) == 1, stream.getvalue()
    assert "note" not in stream.getvalue() and all(set(line.split()) == {"word"} for line in lines if "word" in line)


def test_pillow_does_not_warn_of_tags() -> None:
    with quiet_lightning():
        warnings.warn_explicit("Tag data larger than file", UserWarning, "plugin.py", 1, module="PIL.TiffImagePlugin")


def test_an_untrusted_text_is_one_line_in_a_file_and_nothing_is_read_into_it() -> None:
    stream = io.StringIO()
    show_text("[bold]:cat:\x1b[31m " + "词 " * 99, stream)
    assert stream.getvalue().strip() == ("[bold]:cat: " + "词 " * 99).strip()
