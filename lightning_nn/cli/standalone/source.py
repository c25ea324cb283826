"""The source of a module of this package together with all that it imports of it, as one file that runs alone."""

from __future__ import annotations

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]


def standalone_source(module: str) -> str:
    """Return the docstring of a module, the imports of all its modules, their definitions, and its own.

    Args:
        module: its full name. It and the modules of this package that it imports from define different names.
    """
    imports: dict[str, set[str]] = {}
    bodies: dict[str, str] = {}
    docstring = _gather(module, imports, bodies)
    lines = {name: f"from {name} import {', '.join(sorted(names))}" for name, names in imports.items() if names}
    lines |= {name: f"import {name}" for name, names in imports.items() if not names}
    own, others = (
        "\n".join(sorted((line for name, line in lines.items() if _is_of_python(name) == inside), key=_is_from))
        for inside in (True, False)
    )
    head = f'"""{docstring}\n"""\n\nfrom __future__ import annotations\n\n{own}\n\n{others}\n'
    return head + "".join(f"\n\n{body}\n" for body in bodies.values())


def _is_of_python(module: str) -> bool:
    return module.partition(".")[0].partition(" ")[0] in sys.stdlib_module_names


def _is_from(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _gather(module: str, imports: dict[str, set[str]], bodies: dict[str, str]) -> str:
    """Add the imports and the body of a module after those that it needs, and return its docstring."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    tree, lines, start = ast.parse(source), source.splitlines(), 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (name := node.module or "").partition(".")[0] == _PACKAGE:
            if name not in bodies:
                _gather(name, imports, bodies)
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            imports.setdefault(node.module or "", set()).update(ast.unparse(alias) for alias in node.names)
        elif isinstance(node, ast.Import):
            imports.update((ast.unparse(alias), set()) for alias in node.names)
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Expr):
            start = node.end_lineno or 0  # a docstring, too
        else:
            break
    bodies[module] = "\n".join(lines[start:]).strip()
    return ast.get_docstring(tree) or ""
