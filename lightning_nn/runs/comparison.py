"""Runs side by side: metrics, the settings in which they differ, cost, and where two of them disagree.

Only runs on the same data are compared. They are ordered by the metric that chose their checkpoints, on validation:
the test part is shown, and decides nothing. Two runs that were tested on the same samples are compared by the exact
test of McNemar (1947): with b samples that only the first has right, and c that only the second has, two equally good
models would differ as much with the probability

    p = P(|B - n/2| >= |b - n/2|),    B ~ Binomial(n, 1/2),    n = b + c
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from lightning_nn.errors import UserError
from lightning_nn.runs.run_folder import TESTS

COST = ("epochs", "seconds", "samples_per_second", "peak_memory_mb", "parameters")
_APART = ("data.path", "data.label_column", "data.text_column")  # data that differ in one of these are not the same
_PLACES = ("model_name", "data_name", "seed_everything", "trainer.logger", "trainer.callbacks")


def better(monitor: str, mode: Literal["min", "max"] | None) -> Literal["min", "max"]:
    """Return whether lower (min) or higher (max) is better; by the metric's name if `mode` is None."""
    return mode or ("min" if monitor.endswith("loss") else "max")


class Record(NamedTuple):
    """Record of a finished run.

    Attributes:
        folder: logs/MODEL/RUN.
        results: contents of results.json.
        settings: contents of config.yaml, by dotted name.
    """

    folder: Path
    results: dict[str, Any]
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """MODEL/RUN."""
        return "/".join(self.folder.absolute().parts[-2:])

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data, with the seeds of its splits; equal for runs that can be compared."""
        seeds = sorted(name for name in self.settings if name.startswith("data.") and name.endswith("seed"))
        chosen = [f"{name} {self.settings[name]}" for name in (*_APART, *seeds) if self.settings.get(name) is not None]
        return str(self.results["data"]), *chosen, json.dumps(self.results.get("sizes"))

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics by name, such as val/acc, in the order of the file."""
        return {key: value for key, value in self.results.items() if "/" in key and isinstance(value, int | float)}

    @property
    def monitor(self) -> str | None:
        """The metric that chose the checkpoint; None if nothing was validated."""
        monitor = str(self.settings.get("checkpoint.monitor"))
        return monitor if monitor in self.metrics else None

    @property
    def rank(self) -> tuple[float, float]:
        """The monitored metric, turned so that more is better, then minus the loss; both minus infinity without one."""
        if self.monitor is None or math.isnan(value := self.metrics[self.monitor]):
            return -math.inf, -math.inf
        sign = -1 if better(self.monitor, self.settings.get("checkpoint.mode")) == "min" else 1
        return sign * value, -self.metrics.get("val/loss", math.inf)


def load(folders: Iterable[Path]) -> Iterator[Record]:
    """Yield the finished runs in or below folders, each once.

    Raises:
        UserError: there is no such folder, or a file in it is damaged.
    """
    files: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: name runs or a folder of runs")
        found = (file for file in sorted(folder.rglob("results.json")) if file.parent.parent.name != TESTS)
        files |= {file.resolve(): file for file in found}
    for file in files.values():
        results = _read(file, json.loads)
        if not isinstance(results, dict) or not {"model", "data", "commands"} <= results.keys():
            raise UserError(f"{file} has no model, data and commands: it was not written by a run; remove it")
        config = file.with_name("config.yaml")
        settings = _read(config, yaml.safe_load) if config.is_file() else {}
        yield Record(file.parent, results, dict(flat(settings if isinstance(settings, dict) else {})))


def _read(file: Path, parse: Any) -> Any:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {' '.join(str(error).split())}") from None


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def by_data(records: Iterable[Record]) -> list[list[Record]]:
    """Return the runs that can be compared, best first."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(record.data, []).append(record)
    return [sorted(group, key=lambda record: record.rank, reverse=True) for _, group in sorted(groups.items())]


def differing(records: list[Record]) -> list[str]:
    """Return the names of settings that all runs have, and in which they differ; the seed is one of them."""
    common = [name for name in records[0].settings if all(name in record.settings for record in records)]
    shown = [name for name in common if name == "seed_everything" or name not in _PLACES]
    return [name for name in shown if len({json.dumps(record.settings[name]) for record in records}) > 1]


class Disagreement(NamedTuple):
    """Samples on which two runs disagree, counted.

    Attributes:
        both: number of samples that both have right.
        first: samples that only the first has right: what identifies a sample, its truth, and both predictions.
        second: samples that only the second has right.
        neither: number of samples that both have wrong.
    """

    both: int
    first: list[dict[str, str]]
    second: list[dict[str, str]]
    neither: int

    @property
    def p(self) -> float:
        """McNemar's p, exact and two-sided."""
        n, fewer = len(self.first) + len(self.second), min(len(self.first), len(self.second))
        return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)


def disagreement(first: Path, second: Path) -> Disagreement | None:
    """Compare the predictions of two runs sample by sample.

    Args:
        first: predictions.csv of a run: columns that identify a sample, then truth and prediction.
        second: that of the other run.

    Returns:
        The samples; None if the files do not show the same samples, or do not show classes.
    """
    rows: dict[tuple[bool, bool], list[dict[str, str]]] = defaultdict(list)
    for one, other in zip_longest(_predictions(first), _predictions(second)):
        if one is None or other is None or one[0] != other[0]:
            return None
        truth = one[0]["truth"]
        rows[one[1] == truth, other[1] == truth].append({**one[0], "first": one[1], "second": other[1]})
    if not rows:
        return None
    return Disagreement(len(rows[True, True]), rows[True, False], rows[False, True], len(rows[False, False]))


def _predictions(file: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the identity and truth of each sample, and its predicted class."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = csv.reader(stream)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}") from None
    if not {"truth", "prediction"} <= set(header):
        return
    identity, prediction = header[: header.index("truth") + 1], header.index("prediction")
    for row in rows:
        yield dict(zip(identity, row, strict=False)), row[prediction]
