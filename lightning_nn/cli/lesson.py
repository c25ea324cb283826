"""The verb `lesson`: the list of the course, and a lesson with its table, claims and files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lightning_nn.cli.request import Request, refuse_options
from lightning_nn.cli.verbs import program
from lightning_nn.errors import UserError
from lightning_nn.lessons.catalogue import CHAPTERS, Language, Text, entries, following

if TYPE_CHECKING:
    from lightning_nn.lessons.lesson import Claim, Lesson, Result

_WORDS = {
    "choose": Text("choose 1 to {}: ", "请选 1 到 {}："),
    "guessed": Text("you chose {}; the run says {}", "你选的是 {}，运行结果是 {}"),
    "see": Text("see", "看什么"),
    "claims": Text("claims", "论断"),
    "figure": Text("figure", "图"),
    "table": Text("table", "表"),
    "next": Text("next", "下一课"),
    "knobs": Text("knobs", "旋钮"),
    "running": Text("running ...", "运行中……"),
    "listing": Text("a lesson: {} lesson NAME", "运行一课：{} lesson NAME"),
}


def lesson(request: Request) -> int:
    """List the lessons, run one, or run the answer of an exercise.

    Returns:
        The exit code.

    Raises:
        UserError: an unknown lesson, knob or exercise, a value that a knob can't take, or an option of other verbs.
    """
    options = request.options
    assert options is not None
    refuse_options(request, "model", "data", "ckpt_path")
    folder = Path(request.folder) / "lessons"
    if options.lesson is None:
        if options.set or options.guess or options.answer is not None:
            raise UserError(f"name the lesson first; this lists them: {program()} lesson")
        _show_list(folder, options.language)
        return 0
    from lightning_nn.lessons.lesson import load

    chosen = load(options.lesson)
    knobs = dict(options.set)
    chosen.check_names(knobs)
    if options.answer is not None:
        _show_answer(chosen, options.answer, options.language)
        return 0
    _show_statement(chosen, options.language)
    guess = _ask(chosen, options.language) if options.guess else None
    _import_quietly()
    result = chosen.run(options.seed, "full", knobs)
    _show_result(chosen, result, guess, options.language)
    _write(chosen, result, folder / chosen.name, options.language)
    return 0


def _import_quietly() -> None:
    import lightning_nn.compat  # noqa: F401  isort: skip  (before Lightning)


def _word(name: str, language: Language) -> str:
    return _WORDS[name].into(language)


def _show_list(folder: Path, language: Language) -> None:
    """Print the lessons by chapter, with a tick for those whose table is in the folder."""
    width = max(map(len, entries()))
    for number, chapter in enumerate(CHAPTERS, 1):
        print(f"{number}. {chapter.title.into(language)}")
        for entry in chapter.lessons:
            tick = "✓" if (folder / entry.name / "table.csv").is_file() else " "
            print(f"  {tick} {entry.name:<{width}}  {entry.title.into(language)}")
    print(f"\n{_word('listing', language).format(program())}")


def _show_statement(chosen: Lesson, language: Language) -> None:
    print(f"{chosen.statement.into(language)}\n\n  {chosen.equation}   ({chosen.source})\n", flush=True)


def _ask(chosen: Lesson, language: Language) -> int:
    """Ask for the number of a choice.

    Raises:
        UserError: the input ends without one.
    """
    print(chosen.question.into(language))
    for number, choice in enumerate(chosen.choices, 1):
        print(f"  {number}  {choice.into(language)}")
    while True:
        print(_word("choose", language).format(len(chosen.choices)), end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UserError("--guess reads the number of a choice from standard input, which has ended")
        if line.strip().isdecimal() and 1 <= int(line) <= len(chosen.choices):
            print()
            return int(line)


def _show_result(chosen: Lesson, result: Result, guess: int | None, language: Language) -> None:
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False, markup=False, emoji=False)
    header, *rows = chosen.table(result, language)
    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if guess is not None:
        chosen_one, right = (chosen.choices[k - 1].into(language) for k in (guess, chosen.right_choice(result)))
        print(f"\n{_word('guessed', language).format(chosen_one, right)}")
    print(f"\n{_word('see', language)}")
    console.print(f"  {chosen.see.into(language)}")
    print(f"\n{_word('claims', language)}")
    _show_claims(chosen, chosen.claims(result), language)


def _show_claims(chosen: Lesson, claims: list[Claim], language: Language) -> None:
    for claim in claims:
        colon = ": " if language == "en" else "，"
        print(f"  {chosen.words(claim.name, language)}{colon}{claim.sentence(language)}")


def _show_answer(chosen: Lesson, number: int, language: Language) -> None:
    if number in chosen.answers:
        print(f"{chosen.answers[number].into(language)}\n", flush=True)
    _import_quietly()
    _show_claims(chosen, chosen.answer(number), language)


def _write(chosen: Lesson, result: Result, folder: Path, language: Language) -> None:
    """Write figure and table, and print where they are, the knobs and the next lesson."""
    from lightning_nn.runs.atomic_file import write_atomically, write_text

    png = chosen.png(result)
    write_atomically(folder / "figure.png", lambda file: file.write(png))
    write_text(folder / "table.csv", result.to_csv())
    print()
    rows = [("figure", str(folder / "figure.png")), ("table", str(folder / "table.csv"))]
    rows += [
        ("knobs", f"--set {name}={result.knobs[name]}   {knob.about.into(language)}")
        for name, knob in chosen.knobs.items()
    ]
    if (after := following(chosen.name)) is not None:
        rows.append(("next", f"{program()} lesson {after}"))
    for word, text in rows:
        print(f"{_word(word, language)}  {text}")
