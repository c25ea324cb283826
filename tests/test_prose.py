from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lightning_nn"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
QUESTIONS = ("What", "Which", "Where", "How", "Whether")
NOT_VERBS = frozenset((*QUESTIONS, "The", "A", "An", "All", "Its", "When", "Why"))
EVERY_FILE = sorted({*FILES, *PACKAGE.parent.glob("tests/**/*.py"), *PACKAGE.parent.glob("benchmarks/*.py")})
PROPERTIES = frozenset(("property", "cached_property", "setter", "getter", "deleter"))


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
    last = (each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in names)
    return not PROPERTIES.isdisjoint(last)


def without_verb(source: str) -> Iterator[str]:
    """Yield the functions and methods whose docstring begins with none, with line and docstring."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_property(node):
            continue
        docstring = ast.get_docstring(node)
        if docstring is not None and docstring.split(maxsplit=1)[0].strip(".,:;`'\"") in NOT_VERBS:
            yield f"line {node.lineno}, {node.name}: {docstring.splitlines()[0]}"


def test_all_files_are_seen() -> None:
    assert {PACKAGE / "__init__.py", PACKAGE / "runs/checkpoint.py"} <= set(FILES)


def test_a_functions_docstring_begins_with_a_verb() -> None:
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
    assert [f"{name}, {found}" for name, text in texts.items() for found in without_verb(text)] == []


def test_no_docstring_begins_as_a_question() -> None:
    found = []
    for path, text in ((path, path.read_text(encoding="utf-8")) for path in EVERY_FILE):
        if not re.search(rf"[\"']\s*({'|'.join(QUESTIONS)})\s", text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                begins = (ast.get_docstring(node) or "").split(maxsplit=1)[:1]
                found += [f"{path.name}: {node.body[0].lineno}" for word in begins if word in QUESTIONS]
    assert not found


@pytest.mark.parametrize("word", sorted(NOT_VERBS))
def test_what_is_no_verb_is_found(word: str) -> None:
    source = f'''
class C:
    """{word} class."""

    @property
    def noun(self):
        """{word} property."""

    @functools.cached_property
    def cached(self):
        """{word} property."""

    @noun.setter
    def noun(self, value):
        """{word} property."""

    @classmethod
    async def method(cls):
        """{word} method."""

    def verb(self):
        """Return what {word} is."""

        def inner():
            """{word}: a function."""
'''
    assert [found.split(", ", 1)[1] for found in without_verb(source)] == [
        f"method: {word} method.",
        f"inner: {word}: a function.",
    ]
