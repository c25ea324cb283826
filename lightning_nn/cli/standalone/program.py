"""A model of a model folder as a program, by onnxruntime and NumPy."""

from __future__ import annotations

import argparse
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lightning_nn.errors import UserError


class OnnxModel(ABC):
    """The networks of a model folder, with the preparation of their inputs.

    Args:
        folder: with the networks, config.json and processor.json.

    Attributes:
        noun: what an input is.
        batch: inputs computed together.
        config: what is known of the model, as plain data.
        state: arguments of the processor, as plain data.
    """

    noun: str = "a text"
    batch: int = 16

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        config, processor = (
            json.loads((self.folder / name).read_text(encoding="utf-8")) for name in ("config.json", "processor.json")
        )
        self.config: dict[str, Any] = config
        self.state: dict[str, Any] = processor["state"]

    @staticmethod
    @abstractmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the options to a parser that are further arguments of the constructor, by their names."""

    def session(self, name: str) -> Any:
        """Open a network of the folder."""
        import onnxruntime

        return onnxruntime.InferenceSession(self.folder / name, providers=["CPUExecutionProvider"])

    @abstractmethod
    def read(self, raw: str) -> Any:
        """Convert an input to what the network takes.

        Raises:
            UserError: it can't be read.
        """

    @abstractmethod
    def answers(self, inputs: Sequence[Any]) -> Iterable[dict[str, Any]]:
        """Predict on inputs that are read, at least one."""

    def predict(self, raw: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield each input with its prediction, or with the error why it can't be read."""
        inputs = iter(raw)
        while names := list(islice(inputs, self.batch)):
            rows, read = [], []
            for name in names:
                try:
                    read.append(self.read(name))
                    rows.append({"input": name})
                except UserError as error:
                    rows.append({"input": name, "error": str(error)})
            answers = iter(self.answers(read) if read else ())
            yield from (row if "error" in row else {**row, **next(answers)} for row in rows)


def main(kind: type[OnnxModel], about: str) -> int:
    """Predict on what the command line names, and print a line of JSON for each input.

    Args:
        kind: what it is run by.
        about: what the program does, for its help.

    Returns:
        The exit code.
    """
    noun = kind.noun
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help=noun)
    parser.add_argument("--file", help=f"file with {noun} in each line; - for standard input")
    kind.add_options(parser)
    options = vars(parser.parse_args())
    inputs, file = options.pop("inputs"), options.pop("file")
    if not inputs and file is None:
        parser.error(f"give {noun}, or --file FILE")
    count, errors = 0, []
    try:
        for row in kind(Path(__file__).parent, **options).predict(_inputs(inputs, file)):
            print(json.dumps(row, ensure_ascii=False))
            count += 1
            errors += [row["error"]] if "error" in row else []
    except (UserError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is missing: pip install {error.name}", file=sys.stderr)
        return 2
    if errors:
        print(f"error: {len(errors)} of {count} inputs can't be read: {errors[0]}", file=sys.stderr)
    return 2 if errors and len(errors) == count else 0


def _inputs(given: list[str], file: str | None) -> Iterator[str]:
    """Yield the inputs that are given, then the lines of a file that are not blank."""
    yield from given
    if file is not None:
        stdin = io.TextIOWrapper(sys.stdin.buffer, "utf-8")
        with stdin if file == "-" else Path(file).open(encoding="utf-8") as stream:
            yield from (line.strip() for line in stream if line.strip())
