"""A classical baseline on the same documents and splits as a model: TF-IDF and logistic regression.

Characters and jieba's words, each with their bigrams, are two runs beside those of the models:
LOGS/baseline/NAME/results.json. One-vs-rest classifiers are fitted on train; C is chosen on val; test is read once.

    python benchmarks/baseline.py --data text --data.path PATH --data.label_column category
    python benchmarks/baseline.py                     # the bulletins
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from numpy.typing import NDArray
from report import Report, at_least, parser, public_command, run_main, write_text
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier

from lightning_nn import catalog
from lightning_nn.callbacks.statistics import peak_memory
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.text.data_module import Documents
from lightning_nn.errors import UserError
from lightning_nn.runs.run_folder import commit, save_results, versions

C = (1.0, 3.0, 10.0, 30.0, 100.0)
_NO_LIMIT = 10**9
_UNCUT: dict[str, Any] = {"max_sentences": _NO_LIMIT, "max_words": _NO_LIMIT}
_MODELS = {"chars": "tfidf-chars", "jieba": "tfidf-words"}


class Split(NamedTuple):
    """Documents of a split, as words separated by spaces, and their classes."""

    documents: list[str]
    labels: NDArray[np.int64]


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "", epilog="Data options are those of `train.py --model han --data NAME --help`.")
    made.add_argument("--data", default="bulletins", help="data set of documents: bulletins (default) or text")
    made.add_argument("--logs", default="logs", help="folder of the runs; default logs")
    made.add_argument("--units", nargs="+", choices=sorted(_MODELS), default=list(_MODELS), help="default: both")
    made.add_argument("--C", nargs="+", type=float, default=list(C), help="values tried on val; default %(default)s")
    made.add_argument("--max_iter", type=at_least(1), default=1000, help="most steps of the solver")
    args, rest = made.parse_known_args(argv)
    command = public_command(sys.argv if argv is None else [__file__, *argv])
    options = data_options(args.data, rest)
    rows, figures = [], {}
    for units in args.units:
        results = measure(args, options, units) | {"commands": [command]}
        keep(Path(args.logs), results, options)
        figures[results["model"]] = results
        rows.append([results["model"], *(f"{100 * results[key]:.2f}" for key in ("test/acc", "test/f1", "val/acc"))])
        rows[-1] += [results["variant"], f"{results['seconds']:.1f}"]
    columns = ["baseline", "test accuracy", "test macro-F1", "val accuracy", "chosen on val", "seconds"]
    sizes = ", ".join(f"{count:,} {split}" for split, count in results["sizes"].items())
    Report(f"TF-IDF and logistic regression: {sizes}", columns, rows, figures=figures).show(args.json)


def data_options(name: str, rest: list[str]) -> dict[str, Any]:
    """Parse the arguments of a data set from its options on the command line.

    Raises:
        UserError: the data set has no documents, or an option is wrong.
    """
    if catalog.find(catalog.DATA, name, "data set").batch_types != ("text",):
        raise UserError(f"--data {name} has no documents; there are: bulletins, text")
    typed = ArgumentParser(exit_on_error=False)
    typed.add_class_arguments(catalog.DATA[name].load(), "data", skip={"vocabulary", *_UNCUT}, instantiate=False)
    try:
        given = typed.parse_args(rest)
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from None
    return dict(given.data.as_dict())


def measure(args: Namespace, options: dict[str, Any], units: str) -> dict[str, Any]:
    """Read the data, fit, choose C on val, and test once."""
    start = time.perf_counter()
    splits = read(args.data, options, units)
    train, val, test = (splits[split] for split in SPLITS)
    # Words contain no white space, so splitting recovers the segmenter's words.
    tfidf = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32
    )
    features = tfidf.fit_transform(train.documents)
    model, strength, val_accuracy = choose(
        features, train.labels, tfidf.transform(val.documents), val.labels, args.C, args.max_iter
    )
    predicted = model.predict(tfidf.transform(test.documents))
    return {
        "model": _MODELS[units],
        "data": args.data,
        "variant": f"C = {strength:g}",
        "test/acc": float((predicted == test.labels).mean()),
        "test/f1": float(f1_score(test.labels, predicted, average="macro")),
        "val/acc": val_accuracy,
        "seconds": round(time.perf_counter() - start, 2),
        "peak_memory_mb": round(peak_memory() / 2**20),
        "parameters": sum(one.coef_.size + one.intercept_.size for one in model.estimators_),
        "sizes": {split: len(splits[split].labels) for split in SPLITS},
        "seed": 0,
        "device": "cpu",
        "finished": datetime.now().isoformat(timespec="seconds"),
        "versions": {**versions(), "scikit-learn": sklearn.__version__},
        "commit": commit(),
    }


def read(name: str, options: dict[str, Any], units: str) -> dict[str, Split]:
    """Read the documents of a model with these options, not truncated and with every word."""
    made = catalog.DATA[name].load()
    uncut = {argument: value for argument, value in _UNCUT.items() if argument in made.__init__.__annotations__}
    vocabulary = {"segmenter": units, "min_count": 1, "max_size": _NO_LIMIT}
    data: Documents = made(**options, vocabulary=vocabulary, **uncut)
    data.prepare_once()
    words = np.array(data.processor.vocabulary.words, dtype=object)
    return {split: Split(list(_texts(source, words)), source.labels) for split, source in data.sources.items()}


def _texts(source: Any, words: NDArray[np.object_]) -> Any:
    """Yield the words of each document, separated by spaces."""
    for first in range(0, len(source), 256):
        batch = source[np.arange(first, min(first + 256, len(source)))]
        ends = batch.sentences.cumsum(0)[batch.documents.cumsum(0) - 1].tolist()
        tokens = words[batch.words.numpy()]
        for start, stop in zip([0, *ends[:-1]], ends, strict=True):
            yield " ".join(tokens[start:stop])


def choose(
    features: Any, labels: Any, val_features: Any, val_labels: Any, strengths: list[float], max_iter: int
) -> tuple[OneVsRestClassifier, float, float]:
    """Choose the model with the best accuracy on val (at a tie the more regularized), its C, and that accuracy."""
    best: tuple[OneVsRestClassifier, float, float] | None = None
    for strength in sorted(strengths):
        # The dual has a variable per document, not per feature: ten times as fast as lbfgs on a million features.
        one = LogisticRegression(solver="liblinear", dual=True, C=strength, max_iter=max_iter, random_state=0)
        model = OneVsRestClassifier(one)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(features, labels)
            except ConvergenceWarning:
                raise UserError(
                    f"C = {strength:g} needs more than {max_iter} steps: --max_iter {2 * max_iter}"
                ) from None
        accuracy = float((model.predict(val_features) == val_labels).mean())
        print(f"C = {strength:g}: val accuracy {100 * accuracy:.2f}", file=sys.stderr)
        if best is None or accuracy > best[2]:
            best = model, strength, accuracy
    if best is None:
        raise UserError("--C needs at least one number")
    return best


def keep(logs: Path, results: dict[str, Any], options: dict[str, Any]) -> None:
    """Write a run folder: settings and results."""
    name = f"{results['model']}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = logs / "baseline" / name
    settings = {"data": options, "model": {"ngram_range": [1, 2], "sublinear_tf": True}}
    write_text(folder / "config.yaml", yaml.safe_dump(settings, allow_unicode=True))
    save_results(folder / "results.json", json.loads(json.dumps(results)))
    print(f"run {folder}", file=sys.stderr)


if __name__ == "__main__":
    run_main(main)
