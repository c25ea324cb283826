"""Word vectors from a file that others made, for the words of a vocabulary: text, .npz or a Model2Vec folder.

Text has a word and its values in each line, as GloVe writes it (Pennington, Socher, Manning 2014); word2vec and
fastText put a line with the numbers of words and values before. Pickled objects are never loaded.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.normalization import normalize_text
from lightning_nn.data.tables.reading import opened, read_lines
from lightning_nn.data.text.documents import check_path
from lightning_nn.errors import UserError
from lightning_nn.runs.model_folder import TENSORS, read_json
from lightning_nn.runs.weights_file import WeightsFile, open_weights
from lightning_nn.sanitize import shorten

TOKENIZER = "tokenizer.json"
FORMS = (
    "expected vectors as text (a word and its values in each line, as of GloVe, word2vec or fastText; also .gz), .npz, "
    "or a Model2Vec folder"
)
_COUNTS = re.compile(r"(\d+) (\d+)")
_VALUE = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_WORD_START = ("▁", "Ġ")  # of a token that begins a word
_SAVED = "save it by numpy.savez(FILE, tokens=WORDS, vectors=VALUES), an array of strings (N,) and one of floats (N, K)"

Float = NDArray[np.float32]
T = TypeVar("T")


class FileVectors:
    """Vectors of the words of a vocabulary that a file has.

    A word has the vector of the first token of the file that is spelled like it once both are normalized.

    Args:
        path: the file or folder.
        words: the V words of the vocabulary, the unknown word, which gets no vector, at 0.
        lower: whether the words are lower-case, so that tokens are made so, too.

    Attributes:
        covered: bool (V,), words that have a vector.
        option: that names the file.

    Raises:
        UserError: the file is missing, damaged or of another form, has no vector of any of the words, or one that is
            not finite.
    """

    option: ClassVar[str] = "--data.vectors"

    def __init__(self, path: Path, words: Sequence[str], *, lower: bool = False) -> None:
        check_path(path, self.option, FORMS)
        read = _of_folder if path.is_dir() else _of_npz if path.suffix.lower() == ".npz" else _of_text
        found, vectors = read(path, {word: i for i, word in enumerate(words) if i}, lower)
        if not found:
            raise UserError(
                f"{self.option} {path} has a vector of none of the {len(words) - 1:,} words, such as "
                f"{shorten(', '.join(words[1:4]))}: choose vectors of this language and segmenter, or leave it out"
            )
        for word, vector in zip(found, vectors, strict=True):
            if not np.isfinite(vector).all():
                raise UserError(f"{path}: the vector of {words[word]!r} is not finite (NaN or infinity)")
        self._path, self._found, self._vectors = path, found, vectors
        self.covered: NDArray[np.bool_] = np.isin(np.arange(len(words)), found)

    def vectors(self, size: int) -> Float:
        """Return the vectors, (V, K); those of words that are not covered are 0.

        Args:
            size: width of the model's vectors.

        Raises:
            UserError: the file's are of another width.
        """
        width = self._vectors.shape[1]
        if width != size:
            raise UserError(
                f"the vectors of {self._path} have {width} values, those of the model {size}: "
                f"--model.embedding_size {width}"
            )
        table = np.zeros((len(self.covered), width), np.float32)
        table[self._found] = self._vectors
        return table


def _matches(tokens: Iterable[tuple[str, T]], ids: dict[str, int], lower: bool) -> Iterator[tuple[int, T]]:
    """Yield the id of each word of a vocabulary with what comes with the first token that is spelled like it."""
    for token, value in tokens:
        word = normalize_text(token)
        if (number := ids.pop(word.lower() if lower else word, None)) is not None:
            yield number, value


def _of_text(path: Path, ids: dict[str, int], lower: bool) -> tuple[list[int], Float]:
    if path.suffix.lower() == ".bin":
        raise UserError(f"{path} is of a binary form; save the vectors as text")
    found, rows = [], []
    for number, (place, values) in _matches(_lines(path), ids, lower):
        try:
            row = np.array(values.split(" "), np.float64)
        except ValueError as error:
            raise UserError(f"{place}: {error}; {FORMS}") from None
        found.append(number)
        rows.append(_narrow(row))
    return found, np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _lines(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each word with its file and line and its values.

    Raises:
        UserError: a line has more or fewer values than others, or the first one announces another number of lines.
    """
    stated, width, count = None, 0, 0
    with opened(path) as stream:
        for number, line in read_lines(stream, str(path)):
            line, place = line.rstrip().replace("\t", " "), f"{path}:{number}"
            if not line:
                continue
            if number == 1 and (head := _COUNTS.fullmatch(line)):
                stated, width = int(head[1]), int(head[2])
                continue
            count += 1
            values = line.count(" ")
            width = width or values
            if not width:
                raise UserError(f"{place}: a word without values; {FORMS}")
            word, _, rest = line.partition(" ")
            if values > width:  # a word with spaces, such as ". . ." of GloVe
                word, rest = line.rsplit(" ", width)[0], line
            if values < width or (values > width and _VALUE.fullmatch(word.rpartition(" ")[2])):
                raise UserError(
                    f"{place}: {values} values, but {width} in the lines before; the file is damaged or not complete: "
                    "copy or download it again, or delete the line"
                )
            yield word, (place, rest)
    if stated not in (None, count):
        raise UserError(
            f"{path}:1: {stated:,} words are announced, but {count:,} follow; the file is damaged or not complete: "
            "copy or download it again, or delete this line"
        )


def _of_npz(path: Path, ids: dict[str, int], lower: bool) -> tuple[list[int], Float]:
    try:
        with path.open("rb") as stream:
            loaded: Any = np.load(stream, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} can't be read ({shorten(str(error))}); {_SAVED}") from None
    tokens = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind == "U"]
    tables = [array for array in arrays.values() if array.ndim == 2 and array.dtype.kind in "fiu"]
    if len(tokens) != 1 or len(tables) != 1 or len(tokens[0]) != len(tables[0]):
        held = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise UserError(f"{path} holds {shorten(held) or 'nothing'}; {_SAVED}")
    return _rows(zip(tokens[0].tolist(), range(len(tables[0])), strict=True), tables[0], ids, lower)


def _of_folder(path: Path, ids: dict[str, int], lower: bool) -> tuple[list[int], Float]:
    """Read a folder of Model2Vec, whose tokens may share rows (mapping) and have weights."""
    weights, model = open_weights(path / TENSORS), read_json(path / TOKENIZER)
    tensors = weights.state_dict if isinstance(weights, WeightsFile) else {}
    table = tensors.get("embeddings", tensors.get("embedding.weight"))
    if table is None or table.ndim != 2:
        raise UserError(f"{path / TENSORS} has no table called embeddings; {FORMS}")
    values = table.float().numpy()
    try:
        vocabulary = model["model"]["vocab"]
        if isinstance(vocabulary, list):  # of pairs of a token and its logarithmic probability
            vocabulary = {token: i for i, (token, _) in enumerate(vocabulary)}
        tokens = {str(token).lstrip("".join(_WORD_START)): int(i) for token, i in reversed(vocabulary.items())}
        numbers = np.array(list(tokens.values()), np.int64)
        rows = tensors["mapping"].numpy()[numbers] if "mapping" in tensors else numbers
        values = values[rows]
        if "weights" in tensors:
            values = values * tensors["weights"].float().numpy()[numbers, None]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path / TOKENIZER} does not fit {TENSORS} ({error!r}); copy or download both again") from None
    return _rows(((token, i) for i, token in enumerate(tokens)), values, ids, lower)


def _rows(
    tokens: Iterable[tuple[str, int]], table: NDArray[Any], ids: dict[str, int], lower: bool
) -> tuple[list[int], Float]:
    matches = dict(_matches(tokens, ids, lower))
    return list(matches), _narrow(table[list(matches.values())])


def _narrow(values: NDArray[Any]) -> Float:
    with np.errstate(over="ignore"):  # the caller refuses infinity
        return values.astype(np.float32)
