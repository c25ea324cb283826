"""Generator of docs/results.md from run folders: one table per data set, never written by hand.

A row is all runs that differ in the seed alone (mean and standard deviation if there are several), a baseline of
benchmarks/baseline.py, or a published result. Test metrics are those of the epoch that was best on val. The reports
that other benchmarks wrote with --json follow. All inputs are kept in a file beside the page, so that results of
several machines can be combined: a repeated run, with the same options and seed, replaces the old one.

    python benchmarks/results.py                      # everything below logs/, and docs/results.json
    python benchmarks/results.py logs/han/20260101-120000 logs/baseline --out docs/results.md
"""

from __future__ import annotations

import json
import math
import shlex
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from report import ROOT, Report, parser, public_command, run_main, table, write_text

from lightning_nn.errors import UserError
from lightning_nn.runs import comparison

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
PUBLISHED = ROOT / "benchmarks" / "published.yaml"
_HEAD = "# Results\n\n"
_WHOSE = ("ckpt_path", "data.path", "data.label_column", "data.text_column", "data.encoding")
_WHOSE += ("data.vocabulary.user_dict",)
_PLACE = ("data", "finetune", "folder", "logs", "model", "name", "seed_everything", *_WHOSE)
_KEPT = ("data.path", "data.label_column", "data.text_column", "data.language")  # these identify the data set of a run
_CLASSES = {"test accuracy": "test/acc", "test macro-F1": "test/f1", "val accuracy": "val/acc"}
_VIEWS = {f"test accuracy, views {kind}": f"test/{kind}/acc" for kind in ("flip", "shift")}  # where a run has them
_MASKS = {"test mIoU": "test/miou", "ceiling of bilinear upsampling": "test/miou_ceiling", "val mIoU": "val/miou"}
_CAPTIONS = {  # those that no run of the table has are left out
    "test CIDEr-D, by beam search": "test/cider",
    **{f"BLEU-{n}": f"test/bleu{n}" for n in range(1, 5)},
    "BLEU-1 / -2 / -3 without brevity penalty": " ".join(f"test/bleu{n}:test/bp" for n in range(1, 4)),
    "wholly true": "test/true",
    "val CIDEr-D": "val/cider",
}
_COLUMNS = ["best epoch / epochs", "seconds", "samples/s", "memory MB", "parameters", "seeds", "n"]


@dataclass
class Run:
    """A run folder.

    Attributes:
        results: contents of results.json.
        settings: contents of config.yaml, by dotted name.
    """

    results: dict[str, Any]
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """The data set: its folder or file, with the label column if one was chosen; else its name."""
        path, column = self.settings.get("data.path"), self.settings.get("data.label_column")
        name = str(self.results["data"])
        if path and name in ("text", "images", "segmentation", "captions"):
            name = Path(path).stem if Path(path).suffix else Path(path).name
        if "test/miou" in self.results:
            return f"{name}, masks"
        if "test/cider" in self.results:
            return f"{name}, captions, {self.settings.get('data.language', 'en')}"
        return f"{name} ({column})" if column else name

    @property
    def commands(self) -> list[str]:
        """The commands without paths of this machine: the first one, and those that resumed the run."""
        given = [str(path) for key in ("data.path", "data.vocabulary.user_dict") if (path := self.settings.get(key))]
        each = [shlex.split(command) for command in self.results["commands"]]
        return [public_command(words[1:] if words[0] == "python" else words, given) for words in each]

    @property
    def variant(self) -> str:
        """Differences from the recipe: options of the commands except those of the data set, the run and the seed."""
        if "variant" in self.results:
            return str(self.results["variant"])
        found: list[str] = []
        for command in self.commands:
            shown = False
            for option, equals, value in (word.partition("=") for word in command.split()[2:]):
                if option.startswith("-"):
                    shown = option.lstrip("-") not in _PLACE
                    found += [option.lstrip("-") + equals + value] if shown else []
                elif shown:
                    found[-1] += f" {option}"
        return ", ".join(found) or "recipe"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Key that a run shares with its repetitions."""
        return self.title, str(self.results["model"]), self.variant, str(self.results.get("seed"))

    def record(self) -> dict[str, Any]:
        """Return results and settings as plain data, without paths of this machine."""
        settings = {key: value for key, value in self.settings.items() if value is not None and key in _KEPT}
        settings |= {key: Path(str(settings[key])).name for key in settings if key == "data.path"}
        return {"results": {**self.results, "commands": self.commands}, "settings": settings}

    @property
    def key(self) -> str:
        """Key that runs share if they differ in the seed alone."""
        return json.dumps(self.identity[:3])


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("folders", nargs="*", type=Path, help="run folders, or folders of them; default logs")
    made.add_argument("--out", type=Path, default=Path("docs/results.md"), help="file to write; default %(default)s")
    made.add_argument("--published", type=Path, default=PUBLISHED, help="published results of others")
    args = made.parse_args(argv)
    folders = args.folders or [Path("logs")]
    kept = args.out.with_suffix(".json")
    runs, reports = load_kept(kept)
    runs = list({run.identity: run for run in [*runs, *(run for folder in folders for run in load(folder))]}.values())
    new = [report for folder in folders for report in load_reports(folder)]
    reports = list({report.title: report for report in [*reports, *new]}.values())
    if not runs and not reports:
        raise UserError(f"no results.json below {', '.join(map(str, folders))}: train a model first")
    text = page(runs, read_yaml(args.published) or [], reports)
    write_text(args.out, within(args.out, text))
    record = {"runs": [run.record() for run in runs], "reports": [asdict(report) for report in reports]}
    write_text(kept, json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"{len(runs)} runs, {len(reports)} reports: {args.out}", file=sys.stderr)
    if args.json is not None:
        figures = [{"title": run.title, "variant": run.variant, **run.results} for run in runs]
        write_text(args.json, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def load_kept(file: Path) -> tuple[list[Run], list[Report]]:
    """Load the runs and reports of earlier calls."""
    if not file.is_file():
        return [], []
    kept = read_json(file)
    return [Run(**run) for run in kept["runs"]], [Report(**report) for report in kept["reports"]]


def load(folder: Path) -> Iterator[Run]:
    """Yield the runs in or below a folder.

    Raises:
        UserError: there is no such folder, or a file in it is damaged.
    """
    for record in comparison.load([folder]):
        yield Run(record.results, record.settings)


def load_reports(folder: Path) -> Iterator[Report]:
    """Yield the reports that other benchmarks wrote with --json below a folder."""
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


def page(runs: list[Run], published: list[dict[str, Any]], reports: list[Report]) -> str:
    """Build the page: all tables."""
    by_title: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_title[run.title].append(run)
    parts = [
        "Made by `python benchmarks/results.py` from run folders. Chosen on val, test read once. Metrics in "
        "percent; ± is the standard deviation over seeds, se the standard error due to the size of the test "
        "split.\n"
    ]
    for title in sorted(by_title):
        parts.append(section(title, by_title[title], [row for row in published if row["title"] == title]))
    parts += [report.markdown() for report in reports]
    return "\n".join(parts)


def section(title: str, runs: list[Run], published: list[dict[str, Any]]) -> str:
    """Build the section of a data set: the table, then the provenance of each row."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.key].append(run)
    sizes = [run.results["sizes"]["test"] for run in runs if "sizes" in run.results]
    kinds = (_MASKS, _CAPTIONS, _CLASSES)
    metrics = next(
        each for each in kinds if each is _CLASSES or any(next(iter(each.values())) in r.results for r in runs)
    )
    if metrics is _CLASSES:
        metrics = {**metrics, **{name: key for name, key in _VIEWS.items() if values(runs, key)}}
    if metrics is _CAPTIONS:
        metrics = {name: keys for name, keys in metrics.items() if any(values(runs, key) for key in keys.split())}
    first = next(iter(metrics.values()))
    ordered = sorted(groups.values(), key=lambda group: -(mean(group, first) or 0.0))
    rows = [row(number, group, sizes, list(metrics.values())) for number, group in enumerate(ordered, 1)]
    rows += [
        ["", p["model"], "published", str(p["accuracy"]), *["–"] * (len(metrics) - 1 + len(_COLUMNS))]
        for p in published
    ]
    text = f"## {title}\n\n{table(['', 'model', 'variant', *metrics, *_COLUMNS], rows)}\n"
    text += "".join(f"{number}. {provenance(group)}\n" for number, group in enumerate(ordered, 1))
    sources: dict[str, list[str]] = defaultdict(list)
    for entry in published:
        sources[entry["source"]].append(entry["model"].partition(" (")[0])
    return text + "".join(f"\nPublished, {'; '.join(who)}: {source}\n" for source, who in sources.items())


def row(number: int, group: list[Run], sizes: list[int], metrics: list[str]) -> list[str]:
    """Build the row of runs that differ in the seed alone."""
    shown = [percent(group, metric) for metric in metrics]
    value = mean(group, metrics[0])
    if value is not None and sizes and metrics[0] == "test/acc":
        shown[0] += f" (se {100 * math.sqrt(value * (1 - value) / sizes[0]):.2f})"
    epochs = f"{spread(group, 'best_epoch', '{:g}'.format)} / {spread(group, 'epochs', '{:g}'.format)}"
    return [
        *(str(number), group[0].results["model"], group[0].variant),
        *(*shown, "–" if epochs == "– / –" else epochs),
        spread(group, "seconds", "{:,.0f}".format),
        spread(group, "samples_per_second", "{:,.0f}".format),
        spread(group, "peak_memory_mb", "{:,.0f}".format),
        spread(group, "parameters", "{:,.0f}".format),
        ", ".join(sorted({str(run.results.get("seed", "–")) for run in group})),
        str(len(group)),
    ]


def values(group: list[Run], key: str) -> list[float]:
    """Return a value of each run that has it; of `a:b` the ratio."""
    names = key.split(":")
    found = [[run.results.get(name) for name in names] for run in group]
    return [float(a) / math.prod(map(float, b)) for a, *b in found if None not in (a, *b)]


def mean(group: list[Run], key: str) -> float | None:
    found = values(group, key)
    return statistics.fmean(found) if found else None


def percent(group: list[Run], keys: str) -> str:
    """Format the mean in percent, with the standard deviation if there are several values; several keys likewise."""
    if " " in keys:
        return " / ".join(percent(group, key) for key in keys.split())
    found = [100 * value for value in values(group, keys)]
    if not found:
        return "–"
    return f"{statistics.fmean(found):.2f}" + (f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else "")


def spread(group: list[Run], key: str, form: Callable[[float], str]) -> str:
    """Format the value, or the least and the greatest if there are several."""
    found = sorted({form(value) for value in sorted(values(group, key))}, key=lambda text: (len(text), text))
    if not found:
        return "–"
    return found[0] if len(found) == 1 else f"{found[0]}–{found[-1]}"


def provenance(group: list[Run]) -> str:
    """Describe commands, hardware, versions and commit of a row; of several runs, those of the first."""
    results = group[0].results
    hardware = str(results.get("device", ""))
    if results.get("processes", 1) != 1:
        hardware += f", {results['processes']} processes"
    shown = [hardware, ", ".join(f"{name} {number}" for name, number in sorted(results.get("versions", {}).items()))]
    shown += [f"commit {results['commit']}"] if results.get("commit") else []
    commands = ", then ".join(f"`{command}`" for command in group[0].commands)
    return f"{commands}: {'; '.join(part for part in shown if part)}"


def within(file: Path, text: str) -> str:
    """Replace the text between the markers of the file; without markers or file, the text is the whole page.

    Raises:
        UserError: one marker without the other, or in the wrong order.
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
