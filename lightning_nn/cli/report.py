"""Report of a run or a test: gathers what its folder and its settings tell, and writes report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_nn.cli.parser import CommandLine
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.run_folder import Run
from lightning_nn.sanitize import shorten
from lightning_nn.tasks.artifacts import Artifact
from lightning_nn.visualization.report import Report, page

_VALUE = 200  # characters of a setting


def write_report(
    place: Run,
    cli: CommandLine,
    results: Mapping[str, Any],
    artifacts: Sequence[Artifact],
    commands: Mapping[str, str],
) -> None:
    """Write report.html.

    Args:
        place: folder of the run or of the test.
        cli: settings of the run.
        results: contents of its results.json.
        artifacts: of the test.
        commands: command lines by name: repeat, resume, predict.
    """
    changes = [(name, *(shorten(str(value), _VALUE) for value in pair)) for name, pair in cli.unlike_recipes().items()]
    size = {"checkpoint_mb": round(place.best.stat().st_size / 2**20, 1)} if place.best.is_file() else {}
    report = Report(
        title=f"{cli.model_name}, {place.folder.name}",
        results={**results, **size},
        changes=[(name, before, now) for name, before, now in changes],
        curves=curves(place.folder),
        artifacts=artifacts,
        commands=commands,
    )
    write_text(place.report, page(report, cli.language))


def curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Read (step, value) of each metric of training and validation from TensorBoard's events; empty without a logger.

    Args:
        folder: of the run, whose parts before and after a resumption have events of their own.
    """
    if not any(folder.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    kinds = ("images", "audio", "histograms", "compressedHistograms", "tensors")
    events = EventAccumulator(str(folder), {"scalars": 0, **dict.fromkeys(kinds, 1)})
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if name.startswith(("train/", "val/"))]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}
