"""Reports of benchmarks: a table in Markdown, and the same as JSON with all that is needed to repeat it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from lightning_nn.errors import UserError  # noqa: E402

_PATH_OPTION = re.compile(r"--(\w+\.)*(path|images|corpus|user_dict|logs|folder|json|cache|ckpt_path|finetune|out)$")
_FILE = re.compile(r"^(~|\.\.?)?[/\\]|^[A-Za-z]:[/\\]")


class Spread(NamedTuple):
    """A measured value: median, minimum and maximum."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form: str = ".2f") -> str:
        """Format as `1.23 (1.20 to 1.31)`."""
        return f"{self.median:{form}} ({self.least:{form}} to {self.most:{form}})"


@dataclass
class Report:
    """A table with all that is needed to read and repeat it.

    Args:
        title: what was compared.
        columns: headers of the table.
        rows: cells, already formatted.
        notes: sentences below the table.
        n: number of measurements behind each value.
        figures: the numbers themselves, by name.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    n: int = 1
    figures: dict[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=lambda: public_command(sys.argv))
    hardware: str = field(default_factory=lambda: hardware())
    versions: dict[str, str] = field(default_factory=lambda: _versions())
    commit: str | None = field(default_factory=lambda: _commit())
    finished: str = field(default_factory=lambda: datetime.now().isoformat(timespec="seconds"))

    def markdown(self) -> str:
        """Return the table, the notes and the provenance as Markdown."""
        measured = [f"n = {self.n}", self.hardware, *(f"{name} {number}" for name, number in self.versions.items())]
        if self.commit:
            measured.append(f"commit {self.commit}")
        source = f"`{self.command}`: {', '.join(measured)}"
        parts = [f"### {self.title}", table(self.columns, self.rows).rstrip(), *self.notes, source]
        return "\n\n".join(parts) + "\n"

    def show(self, file: Path | None) -> None:
        """Print the report, and write it to a JSON file if one is named.

        Raises:
            UserError: the file can't be written.
        """
        print(self.markdown())
        if file is not None:
            write_text(file, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left-aligned, the others right-aligned."""
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in [columns, *rows]]
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [escaped[0], rule, *escaped[1:]])


def write_text(file: Path, text: str) -> None:
    """Write a file, creating its folder if there is none.

    Raises:
        UserError: the file can't be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write {file}: {error.strerror}; choose another file") from None


def public_command(argv: Sequence[str], paths: Sequence[str] = ()) -> str:
    """Return a command without paths of one machine: PATH replaces each file or folder of the user.

    Args:
        argv: the program and its arguments.
        paths: further arguments to replace by PATH, anywhere.
    """
    program = Path(argv[0]).name
    shown = [f"benchmarks/{program}" if (ROOT / "benchmarks" / program).is_file() else program]
    hide = False
    for token in argv[1:]:
        option, equals, value = token.partition("=")
        if hide or token in paths or _FILE.match(token):
            shown.append("PATH")
        elif equals and (_PATH_OPTION.match(option) or _FILE.match(value) or value in paths):
            shown.append(f"{option}=PATH")
        else:
            shown.append(token)
        hide = bool(_PATH_OPTION.match(token))
    return " ".join(["python", *shown])


def hardware() -> str:
    """Describe the processor, the cores this process may use, memory, and the GPU if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{_processor()}, {cores} core{'s' * (cores != 1)}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    torch = sys.modules.get("torch")
    if torch is not None:
        parts.append(f"{torch.get_num_threads()} threads")
        if torch.cuda.is_available():
            parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        name = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if name:
            return name[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    from lightning_nn.runs.run_folder import versions

    return versions()


def _commit() -> str | None:
    from lightning_nn.runs.run_folder import commit

    return commit()


def parser(doc: str, **formats: Any) -> argparse.ArgumentParser:
    """Build a parser that shows the script's docstring, with `--json`.

    Args:
        doc: the docstring of the script.
        formats: further arguments of ArgumentParser.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, **formats)
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the report to this file")
    return made


def at_least(least: int) -> Any:
    """Return an argparse type: a whole number of at least `least`."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return number


def run_main(main: Any) -> None:
    """Run a script; a user error becomes a line on standard error and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return environment variables for a process that finds this checkout and these scripts."""
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **(extra or {})}
