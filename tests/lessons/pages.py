"""The pages of the course, the program that renews them, and what is stored of each lesson."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType
from typing import Any

from lightning_nn.lessons.lesson import Result, load
from tests.commands import ROOT

COURSE = ROOT / "docs" / "course"


def _import_make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("course_make", COURSE / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make: Any = _import_make()


def page(name: str, language: str) -> str:
    return (COURSE / language / f"{name}.md").read_text(encoding="utf-8")


def code_blocks(text: str, kind: str = r"\w+") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M)


def commands(text: str) -> list[str]:
    return [line for block in code_blocks(text, "bash") for line in block.splitlines()]


def stored_result(name: str) -> Result:
    assert load(name).digest == make.stored(name).get("digest"), f"run python docs/course/make.py {name}"
    return Result.from_json(make.stored(name)["result"])
