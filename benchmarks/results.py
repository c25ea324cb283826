"""docs/results.md from the folders of runs: a table a data set, never by hand.

A row is all runs with the same settings but the seed (mean and standard deviation where there are several), a baseline
of benchmarks/baseline.py, or a published figure. Test is what the epoch that was best on val gave. Reports that the
other benchmarks wrote with --json follow.

    python benchmarks/results.py                      # all below logs/
    python benchmarks/results.py logs/han/20260101-120000 logs/baseline --out docs/results.md
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from report import ROOT, Report, parser, public_command, run_main, table, write_text

from lightning_nn.errors import UserError

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
PUBLISHED = ROOT / "benchmarks" / "published.yaml"
_HEAD = "# Results\n\n"
_WHOSE = ("ckpt_path", "data.path", "data.label_column", "data.text_column", "data.encoding", "data.user_dict")
_PLACE = ("data", "finetune", "folder", "logs", "model", "name", "seed_everything", *_WHOSE)
_COLUMNS = [
    *("", "model", "variant", "test accuracy", "test macro-F1", "val accuracy", "best epoch / epochs", "seconds"),
    *("samples/s", "memory MB", "parameters", "seeds", "n"),
]


@dataclass
class Run:
    """A run's folder as read.

    Attributes:
        results: of results.json.
        settings: of config.yaml, by dotted name.
    """

    results: dict[str, Any]
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """The data set: its folder or file, with the column of the label where that was chosen; else its name."""
        path, column = self.settings.get("data.path"), self.settings.get("data.label_column")
        if not path or self.results["data"] not in ("text", "images"):
            return str(self.results["data"])
        place = Path(path)
        name = place.stem if place.suffix else place.name
        return f"{name} ({column})" if column else name

    @property
    def command(self) -> str:
        """As it was given, without this machine's places."""
        given = [self.settings.get(key) for key in ("data.path", "data.user_dict")]
        words = str(self.results.get("command", "")).split()
        words = words[1:] if words[:1] == ["python"] else words
        return public_command(words, [str(path) for path in given if path]) if words else ""

    @property
    def variant(self) -> str:
        """What differs from the recipe: the options of its command that are not the data's, the run's or the seed's."""
        if "variant" in self.results:
            return str(self.results["variant"])
        words = [word.partition("=") for word in self.command.split()[2:]]
        found, shown = [], False
        for option, equals, value in words:
            if option.startswith("-"):
                shown = option.lstrip("-") not in _PLACE
                found += [option.lstrip("-") + equals + value] if shown else []
            elif shown:
                found[-1] += f" {option}"
        return ", ".join(found) or "recipe"

    @property
    def key(self) -> str:
        """The same for runs that differ in nothing but the seed."""
        own = {k: v for k, v in self.settings.items() if k != "seed_everything" and not k.startswith("trainer.logger")}
        own.pop("data.path", None)
        return json.dumps([self.title, self.results["model"], own], sort_keys=True, default=str)


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("folders", nargs="*", type=Path, help="runs or folders of runs; default logs")
    made.add_argument("--out", type=Path, default=Path("docs/results.md"), help="file to write; default %(default)s")
    made.add_argument(
        "--published", type=Path, default=ROOT / "benchmarks" / "published.yaml", help="figures of others"
    )
    args = made.parse_args(argv)
    folders = args.folders or [Path("logs")]
    runs = [run for folder in folders for run in load(folder)]
    reports = [report for folder in folders for report in load_reports(folder)]
    if not runs and not reports:
        raise UserError(f"no results.json below {', '.join(map(str, folders))}: train a model first")
    text = page(runs, read_yaml(args.published) or [], reports)
    write_text(args.out, within(args.out, text))
    print(f"{len(runs)} runs, {len(reports)} reports: {args.out}", file=sys.stderr)
    if args.json is not None:
        figures = [{"title": run.title, "variant": run.variant, **run.results} for run in runs]
        write_text(args.json, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def load(folder: Path) -> Iterator[Run]:
    """The runs at or below a folder.

    Raises:
        UserError: there is no such folder, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name runs or a folder of runs")
    for file in sorted(folder.rglob("results.json")):
        results = read_json(file)
        config = file.with_name("config.yaml")
        if not isinstance(results, dict) or not {"model", "data"} <= results.keys():
            raise UserError(f"{file} has no model and data: it was not written by a run; remove it")
        yield Run(results, dict(flat(read_yaml(config) or {})) if config.is_file() else {})


def load_reports(folder: Path) -> Iterator[Report]:
    """What other benchmarks wrote with --json at or below a folder."""
    for file in sorted(folder.rglob("*.json")):
        if file.name == "results.json":
            continue
        read = read_json(file)
        if isinstance(read, dict) and {"title", "columns", "rows", "command"} <= read.keys():
            yield Report(**read)


def read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {file}: {error}") from None


def read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"can't read {file}: {' '.join(str(error).split())}") from None


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def page(runs: list[Run], published: list[dict[str, Any]], reports: list[Report]) -> str:
    """All tables."""
    by_title: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_title[run.title].append(run)
    parts = [
        "Made by `python benchmarks/results.py` from the folders of runs. Chosen on val, test read once. Accuracy "
        "and F1 in percent; ± is the standard deviation over seeds, se the standard error that the size of the test "
        "part leaves.\n"
    ]
    for title in sorted(by_title):
        parts.append(section(title, by_title[title], [row for row in published if row["title"] == title]))
    parts += [report.markdown() for report in reports]
    return "\n".join(parts)


def section(title: str, runs: list[Run], published: list[dict[str, Any]]) -> str:
    """The tables of a data set: figures, then how each row came about."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.key].append(run)
    sizes = [run.results["sizes"]["test"] for run in runs if "sizes" in run.results]
    ordered = sorted(groups.values(), key=lambda group: -(mean(group, "test/acc") or 0.0))
    names = variants(ordered)
    rows = [row(number, *pair, sizes) for number, pair in enumerate(zip(ordered, names, strict=True), 1)]
    rows += [["", p["model"], "published", str(p["accuracy"]), *["–"] * (len(_COLUMNS) - 4)] for p in published]
    text = f"## {title}\n\n{table(_COLUMNS, rows)}\n"
    text += "".join(f"{number}. {provenance(group)}\n" for number, group in enumerate(ordered, 1))
    sources: dict[str, list[str]] = defaultdict(list)
    for entry in published:
        sources[entry["source"]].append(entry["model"].partition(" (")[0])
    return text + "".join(f"\nPublished, {'; '.join(who)}: {source}\n" for source, who in sources.items())


def variants(groups: list[list[Run]]) -> list[str]:
    """What each row differs in: its options, and where two rows had the same ones, the settings that differ."""
    names = [group[0].variant for group in groups]
    for name in {name for name in names if names.count(name) > 1}:
        for model in {groups[i][0].results["model"] for i, other in enumerate(names) if other == name}:
            alike = [i for i, g in enumerate(groups) if names[i] == name and g[0].results["model"] == model]
            settings = [groups[i][0].settings for i in alike]
            keys = sorted({key for one in settings for key in one if key not in _WHOSE and key != "seed_everything"})
            keys = [key for key in keys if len({str(one.get(key)) for one in settings}) > 1 and "logger" not in key]
            for i, one in zip(alike, settings, strict=True):
                names[i] = ", ".join([name, *(f"{key}={one.get(key)}" for key in keys[:4])])
    return names


def row(number: int, group: list[Run], variant: str, sizes: list[int]) -> list[str]:
    """The figures of runs that differ in the seed alone."""
    accuracy = percent(group, "test/acc")
    value = mean(group, "test/acc")
    if value is not None and sizes:
        accuracy += f" (se {100 * math.sqrt(value * (1 - value) / sizes[0]):.2f})"
    epochs = f"{spread(group, 'best_epoch', '{:g}'.format)} / {spread(group, 'epochs', '{:g}'.format)}"
    return [
        *(str(number), group[0].results["model"], variant),
        *(accuracy, percent(group, "test/f1"), percent(group, "val/acc"), "–" if epochs == "– / –" else epochs),
        spread(group, "seconds", "{:,.0f}".format),
        spread(group, "samples_per_second", "{:,.0f}".format),
        spread(group, "peak_memory_mb", "{:,.0f}".format),
        spread(group, "parameters", "{:,.0f}".format),
        ", ".join(sorted({str(run.results.get("seed", "–")) for run in group})),
        str(len(group)),
    ]


def values(group: list[Run], key: str) -> list[float]:
    return [float(run.results[key]) for run in group if run.results.get(key) is not None]


def mean(group: list[Run], key: str) -> float | None:
    found = values(group, key)
    return statistics.fmean(found) if found else None


def percent(group: list[Run], key: str) -> str:
    """Mean, and standard deviation where there are several."""
    found = [100 * value for value in values(group, key)]
    if not found:
        return "–"
    return f"{statistics.fmean(found):.2f}" + (f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else "")


def spread(group: list[Run], key: str, form: Callable[[float], str]) -> str:
    """A value, or the least and the most."""
    found = sorted({form(value) for value in sorted(values(group, key))}, key=lambda text: (len(text), text))
    if not found:
        return "–"
    return found[0] if len(found) == 1 else f"{found[0]}–{found[-1]}"


def provenance(group: list[Run]) -> str:
    """Command, hardware, versions and commit of a row; of several runs those of the first."""
    results = group[0].results
    hardware = str(results.get("device", ""))
    if results.get("processes", 1) != 1:
        hardware += f", {results['processes']} processes"
    shown = [hardware, ", ".join(f"{name} {number}" for name, number in results.get("versions", {}).items())]
    shown += [f"commit {results['commit']}"] if results.get("commit") else []
    return f"`{group[0].command}`: {'; '.join(part for part in shown if part)}"


def within(file: Path, text: str) -> str:
    """The file with the text between its markers; with none, or no file, the text is the whole page.

    Raises:
        UserError: one marker without the other.
    """
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    if (BEGIN in before) != (END in before) or before.find(BEGIN) > before.find(END):
        raise UserError(f"{file} needs both {BEGIN} and, after it, {END}, or neither")
    if BEGIN not in before:
        return _HEAD + text
    head, tail = before.partition(BEGIN)[0], before.partition(END)[2]
    return f"{head}{BEGIN}\n\n{text}\n{END}{tail}"


if __name__ == "__main__":
    run_main(main)
