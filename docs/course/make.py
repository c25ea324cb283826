"""Renew the stored results, the figures and the generated blocks of the course's pages.

    python docs/course/make.py            lessons whose source has changed
    python docs/course/make.py momentum   this one
    python docs/course/make.py --pages    only the blocks of the pages

Lessons whose knob has frames get a figure for each of its values, which the book shows with a slider.

A block of a page begins with one of these lines and ends with <!-- end -->:

    <!-- code lessons/momentum.py:descend -->   a function, class or method (Class.method) of the package
    <!-- table -->                              the table of the stored result
    <!-- claims -->                             the claims, for each of the three seeds
    <!-- chapters -->                           in the READMEs, all lessons by chapter
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import re
import sys
import textwrap
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
PACKAGE = FOLDER.parent.parent / "lightning_nn"
sys.path.insert(0, str(PACKAGE.parent))

from lightning_nn.lessons import names  # noqa: E402
from lightning_nn.lessons.catalogue import CHAPTERS, LANGUAGES, Language  # noqa: E402
from lightning_nn.lessons.lesson import Claim, Lesson, Result, Scalar, load, show, write_json  # noqa: E402
from lightning_nn.runs.atomic_file import write_atomically, write_text  # noqa: E402

SEEDS = (0, 1, 2)
READMES: dict[Language, Path] = {"en": PACKAGE.parent / "README.md", "zh": PACKAGE.parent / "README.zh.md"}
BLOCK = re.compile(r"^<!-- (code (\S+):(\S+)|table|claims|chapters) -->\n(.*?)^<!-- end -->$", re.S | re.M)


def stored_file(name: str) -> Path:
    """Return the file of a lesson's stored results."""
    return FOLDER / "results" / f"{name}.json"


def stored(name: str) -> dict[str, Any]:
    """Read the stored results of a lesson; empty if there are none."""
    file = stored_file(name)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def renew(lesson: Lesson) -> None:
    """Run a lesson in full with three seeds, and store results and figure; its frames are then to be drawn anew."""
    results, seconds = {}, []
    assert lesson.module  # imported before the clock starts
    for seed in SEEDS:
        start = time.process_time()
        results[seed] = lesson.run(seed)
        seconds.append(round(time.process_time() - start, 1))
    as_stored = {seed: Result.from_json(result.to_json()) for seed, result in results.items()}
    claims = {seed: [list(claim) for claim in lesson.claims(result)] for seed, result in as_stored.items()}
    packages = {name: version(name) for name in ("torch", "pytorch-lightning", "numpy", "matplotlib")}
    content = {
        "digest": lesson.digest,
        "versions": {"python": platform.python_version(), **packages},
        "processor_seconds": seconds,
        "claims": {str(seed): rows for seed, rows in claims.items()},
        "result": results[SEEDS[0]].to_json(),
    }
    png = lesson.png(results[SEEDS[0]])
    write_atomically(FOLDER / "figures" / f"{lesson.name}.png", lambda file: file.write(png))
    write_text(stored_file(lesson.name), write_json(content))
    failed = [Claim(*claim).sentence() for rows in claims.values() for claim in rows if not Claim(*claim).holds]
    print(f"{lesson.name}: {seconds} s of processor time, {len(png):,} bytes; {'; '.join(failed) or 'all claims hold'}")


def frame_file(name: str, knob: str, number: int) -> Path:
    """Return the file of the figure of one value of a knob."""
    return FOLDER / "figures" / name / f"{knob}-{number}.png"


def has_frames(lesson: Lesson) -> bool:
    """Tell whether the stored frames are of today's source and of the values that the texts name."""
    values = {knob: list(row.frames) for knob, row in lesson.knobs.items() if row.frames}
    frames = stored(lesson.name).get("frames", {})
    return {knob: [frame["value"] for frame in drawn] for knob, drawn in frames.items()} == values


def draw_frames(lesson: Lesson) -> None:
    """Run a lesson for every value that the book shows, and store the figures, and how many claims hold in each."""
    content, frames = stored(lesson.name), {}
    for knob in (knob for knob, row in lesson.knobs.items() if row.frames):
        frames[knob] = [frame(lesson, knob, number, value) for number, value in enumerate(lesson.knobs[knob].frames)]
    if frames:
        write_text(stored_file(lesson.name), write_json({**content, "frames": frames}))
        print(f"{lesson.name}: frames of {', '.join(frames)}")


def frame(lesson: Lesson, knob: str, number: int, value: Scalar) -> dict[str, Any]:
    """Draw a lesson with a knob set to a value; return the value and how many of how many claims hold."""
    is_default = value == lesson.defaults[knob]
    result = Result.from_json(stored(lesson.name)["result"]) if is_default else lesson.run(knobs={knob: value})
    file, png = frame_file(lesson.name, knob, number), lesson.png(result)
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, lambda stream: stream.write(png))
    holds = [claim.holds for claim in lesson.claims(result)]
    return {"value": value, "holds": sum(holds), "claims": len(holds)}


def fill(text: str, lesson: Lesson, language: Language) -> str:
    """Return a page with its blocks renewed."""

    def block(match: re.Match[str]) -> str:
        kind, file, name = match[1].split()[0], match[2], match[3]
        body = code(file, name) if kind == "code" else (table if kind == "table" else claims)(lesson, language)
        return f"<!-- {match[1]} -->\n{body}\n<!-- end -->"

    return BLOCK.sub(block, text)


def fill_readme(text: str, language: Language) -> str:
    """Return a README with its list of chapters renewed."""
    rows = ["| | |\n|---|---|"]
    for chapter in CHAPTERS:
        links = (f"[{entry.name}](docs/course/{language}/{entry.name}.md)" for entry in chapter.lessons)
        rows.append(f"| {chapter.title.into(language)} | {', '.join(links)} |")
    body = "\n".join(rows)
    return BLOCK.sub(lambda match: f"<!-- {match[1]} -->\n{body}\n<!-- end -->", text)


def code(file: str, name: str) -> str:
    """Return the source of a function, a class or a method of the package as a block of code, without its docstring."""
    source = (PACKAGE / file).read_text(encoding="utf-8")
    nodes: list[Any] = [ast.parse(source)]
    for part in name.split("."):
        nodes = [node for node in ast.walk(nodes[0]) if getattr(node, "name", None) == part]
    node = nodes[0]
    lines = source.splitlines()
    skipped: range = range(0)
    if ast.get_docstring(node) is not None:
        skipped = range(node.body[0].lineno, node.body[0].end_lineno + 1)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = [lines[number - 1] for number in range(first, node.end_lineno + 1) if number not in skipped]
    return "```python\n" + textwrap.dedent("\n".join(kept)) + "\n```"


def table(lesson: Lesson, language: Language) -> str:
    """Return the table of the stored result in Markdown."""
    header, *rows = lesson.table(Result.from_json(stored(lesson.name)["result"]), language)
    return markdown_table([header, ["---:"] * len(header), *rows])


def claims(lesson: Lesson, language: Language) -> str:
    """Return the claims in Markdown: a row each, with a value for each seed."""
    by_seed = stored(lesson.name)["claims"]
    first, last, seed = ("claim", "bound", "seed") if language == "en" else ("论断", "界限", "种子")
    rows = [[first, *(f"{seed} {number}" for number in by_seed), last], ["---", *["---:"] * (len(by_seed) + 1)]]
    for same in zip(*by_seed.values(), strict=True):
        name, _, relation, bound = same[0]
        sign = {"<=": "≤", ">=": "≥", "==": "="}[relation]
        rows.append([lesson.words(name, language), *(show(claim[1]) for claim in same), f"{sign} {show(bound)}"])
    return markdown_table(rows)


def markdown_table(rows: list[list[str]]) -> str:
    """Return rows of cells in Markdown; a bar within a cell, as in |w|, does not end it."""
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def main() -> None:
    """Renew what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="lessons to run, changed or not")
    parser.add_argument("--pages", action="store_true", help="run no lesson")
    options = parser.parse_args()
    for lesson in map(load, options.names or names()):
        changed = stored(lesson.name).get("digest") != lesson.digest
        if not options.pages and (changed or options.names):
            renew(lesson)
        if not options.pages and not has_frames(lesson):
            draw_frames(lesson)
        for language in LANGUAGES:
            page = FOLDER / language / f"{lesson.name}.md"
            if page.is_file() and (new := fill(old := page.read_text(encoding="utf-8"), lesson, language)) != old:
                write_text(page, new)
    for language, readme in READMES.items():
        if (new := fill_readme(old := readme.read_text(encoding="utf-8"), language)) != old:
            write_text(readme, new)


if __name__ == "__main__":
    main()
