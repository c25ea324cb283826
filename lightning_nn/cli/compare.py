"""The verb `compare`: the runs of a folder, or those that are named, side by side; without torch."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.cli.console import show_table, show_text
from lightning_nn.cli.request import Request, refuse_options
from lightning_nn.cli.verbs import program
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text
from lightning_nn.runs.comparison import COST, Disagreement, Record, by_data, differing, disagreement, load
from lightning_nn.sanitize import shorten

_METRICS = 3  # metrics that are shown on the terminal
_SAMPLES = 5  # samples that are shown on the terminal where only one of two runs is right
_PAGE_SAMPLES = 100


class Comparison(NamedTuple):
    """Runs on the same data, best first.

    Attributes:
        records: the runs.
        metrics: names of all their metrics, the monitored one first.
        settings: names of the settings in which they differ.
    """

    records: list[Record]
    metrics: list[str]
    settings: list[str]

    @classmethod
    def of(cls, records: list[Record]) -> Comparison:
        """Gather what the runs have."""
        monitors = [record.monitor for record in records if record.monitor]
        tested = [monitor.replace("val/", "test/", 1) for monitor in monitors]
        names = [name for record in records for name in record.metrics]
        present = [name for name in [*monitors, *tested, *names] if name in names]
        return cls(records, list(dict.fromkeys(present)), differing(records))

    @property
    def title(self) -> str:
        """The data set and the sizes of its splits."""
        record = self.records[0]
        source = record.settings.get("data.path")
        sizes = record.results.get("sizes") or {}
        parts = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
        ordered = f"; best first by {record.monitor}" if record.monitor else ""
        return f"{record.results['data']}{f' {source}' if source else ''}: {parts}{ordered}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a run: its name, metrics, cost, and the settings that differ."""
        return [
            {
                "run": str(record.folder),
                **{name: record.metrics.get(name) for name in self.metrics},
                **{name: record.results.get(name) for name in COST},
                **{name: record.settings[name] for name in self.settings},
            }
            for record in self.records
        ]

    @property
    def changes(self) -> list[str]:
        """Settings that differ from those of the best run, a line for each other run."""
        best, *others = self.records
        return [
            ", ".join(
                f"{name} {_setting(record.settings[name])}"
                for name in self.settings
                if record.settings[name] != best.settings[name]
            )
            for record in others
        ]


def compare(request: Request) -> int:
    """Compare runs, and write the comparison to a file if one is named.

    Returns:
        The exit code.

    Raises:
        UserError: there is no run, a folder is none, or a file can't be read or written.
    """
    options = request.options
    assert options is not None
    refuse_options(request, "data", "ckpt_path")
    folders = options.runs or [Path(request.folder)]
    if not options.runs and not folders[0].is_dir():
        raise UserError(f"there are no runs in {folders[0]} yet; train a model first: {program()} --model NAME")
    records = [record for record in load(folders) if request.model in (None, record.results["model"])]
    if not records:
        which = f" of {request.model}" if request.model else ""
        raise UserError(
            f"no finished run{which} in {', '.join(map(str, folders))}; train one: {program()} --model NAME"
        )
    comparisons = [Comparison.of(group) for group in by_data(records)]
    pair = _pair(records)
    if options.out is not None:
        _write(options.out, records, comparisons, pair)
        return 0
    for comparison in comparisons:
        _show(comparison)
    if pair is not None:
        _show_pair(records, pair)
    return 0


def _pair(records: list[Record]) -> Disagreement | None:
    """Compare two runs sample by sample; None if there are not two, or one has no predictions of the same samples."""
    files = [_predictions(record) for record in records]
    return disagreement(*files) if len(files) == 2 and all(file.is_file() for file in files) else None


def _predictions(record: Record) -> Path:
    return record.folder / "predictions.csv"


def _show(comparison: Comparison) -> None:
    """Print a table, and what differs from the best run."""
    shown = (*comparison.metrics[:_METRICS], "seconds", "parameters")
    rows = [
        (str(number), record.name, *(_figure(name, row[name]) for name in shown))
        for number, (record, row) in enumerate(zip(comparison.records, comparison.rows, strict=True), 1)
    ]
    show_text(comparison.title, sys.stdout)
    show_table([("", "run", *shown), *rows], sys.stdout)
    for number, change in enumerate(comparison.changes, 2):
        show_text(f"{number} differs from 1 in {change or 'no setting'}", sys.stdout)
    print()


def _show_pair(records: list[Record], pair: Disagreement) -> None:
    """Print where two runs disagree."""
    show_text(_summary(records, pair), sys.stdout)
    for record, samples in _sides(records, pair):
        for sample in samples[:_SAMPLES]:
            line = "  ".join(value for name, value in sample.items() if value and name not in ("split", "sample"))
            show_text(shorten(f"only {record.name}: {line}", 200), sys.stdout)


def _sides(records: list[Record], pair: Disagreement) -> list[tuple[Record, list[dict[str, str]]]]:
    """Return each run with the samples that it alone has right."""
    return list(zip(records, (pair.first, pair.second), strict=True))


def _summary(records: list[Record], pair: Disagreement) -> str:
    one, other = (record.name for record in records)
    return (
        f"test sample by sample: both right {pair.both:,}, only {one} {len(pair.first):,}, only {other} "
        f"{len(pair.second):,}, neither {pair.neither:,}; as much by chance with p = {pair.p:.2g} (McNemar)"
    )


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if "/" in name else f"{value:,.0f}"


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write(out: Path, records: list[Record], comparisons: list[Comparison], pair: Disagreement | None) -> None:
    """Write a table or a page.

    Raises:
        UserError: the file is of another kind, is one of those that are compared, or can't be written.
    """
    if any(
        _predictions(record).is_file() and out.is_file() and _predictions(record).samefile(out) for record in records
    ):
        raise UserError(f"--out {out}: these predictions are compared; name another file")
    if out.suffix == ".html":
        from lightning_nn.visualization.pages import render

        samples = (
            [] if pair is None else [(record.name, rows[:_PAGE_SAMPLES]) for record, rows in _sides(records, pair)]
        )
        summary = "" if pair is None else _summary(records, pair)
        text = render("comparison.html", comparisons=comparisons, summary=summary, samples=samples)
    elif out.suffix == ".csv":
        rows = [{"data": comparison.title, **row} for comparison in comparisons for row in comparison.rows]
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
    else:
        raise UserError(f"--out {out}: a comparison is a .csv or an .html file")
    write_text(out, text)
    print(out)
