"""The user's own models and data sets on the command line: `--import MODULE` registers them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from lightning_nn.errors import UserError


def import_own(module: str) -> None:
    """Import a module that calls `catalog.register`.

    Only the command line can name it; no checkpoint, file of settings or environment variable can.

    Args:
        module: a file, `mine.py`, or the name of a module that Python finds, also in the current folder.

    Raises:
        UserError: there is no such module, another one has its name, or it is no Python in UTF-8.
    """
    try:
        _import(module)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        where = f"{error.filename or module}{line}" if isinstance(error, SyntaxError) else module
        reason = error.msg if isinstance(error, SyntaxError) else f"{error}; save it as UTF-8"
        raise UserError(f"--import {module}: {where}: {reason}") from None


def _import(module: str) -> None:
    file = Path(module)
    if file.suffix == ".py":
        if not file.is_file():
            raise UserError(f"--import {module}: no such file")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None  # a .py file always has both
        if file.stem in sys.modules:
            if getattr(sys.modules[file.stem], "__file__", None) == str(file.absolute()):
                return
            raise UserError(f"--import {module}: another module is called {file.stem}; rename the file")
        own = importlib.util.module_from_spec(spec)
        own.__file__ = str(file.absolute())
        sys.modules[file.stem] = own
        try:
            spec.loader.exec_module(own)
        except BaseException:
            del sys.modules[file.stem]
            raise
        return
    sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a module that the user's module imports
        raise UserError(f"--import {module}: no module {error.name!r} here or installed; a file ends in .py") from None
    finally:
        sys.path.remove(str(Path.cwd()))
