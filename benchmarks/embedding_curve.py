"""Size of the table of word vectors against test accuracy: each small form, several times smaller, several seeds.

    python benchmarks/embedding_curve.py --path PATH --documents 10000 --picture docs/gallery/embedding-curve.png

The model is the mean of a document's word vectors and one linear layer, so that the table is nearly all of it. It is
trained on the first documents of train in a random order, and has the words that occur twice in them. Nothing is chosen
by validation: all forms are trained alike, for the same number of epochs, and tested once. `quantised` is the plain
table of the same seed as codes (product quantisation after training), with its centroids trained for one epoch more.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import torch
from report import Report, at_least, parser, run_main
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.data.batches import TextBatch
from lightning_nn.data.text.data_module import TextData
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.product_quantisation import quantise
from lightning_nn.layers.ragged import segment_mean, segment_sum
from lightning_nn.layers.small_embedding import FLOAT_BYTES, CodedTable, ProductQuantisedTable, SmallTable, code_sizes
from lightning_nn.tasks.word_table import TableKind, WordTable

QUANTISED = "quantised"
KINDS = [kind for kind in get_args(TableKind) if kind not in ("plain", CodedTable.kind)] + [QUANTISED]
SUFFIXES = (".csv", ".tsv", ".txt")


class MeanOfWords(nn.Module):
    """Mean of word vectors and a linear layer, as fastText without n-grams (Joulin et al. 2017).

    Args:
        embedding: of words, E wide.
        size: E.
        num_classes: K.
    """

    def __init__(self, embedding: WordEmbedding, size: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.output = nn.Linear(size, num_classes)

    def forward(self, batch: TextBatch) -> Tensor:
        """Compute logits (D, K)."""
        lengths = segment_sum(batch.sentences, batch.documents)
        return cast(Tensor, self.output(segment_mean(self.embedding(batch.words), lengths)))


class Point(NamedTuple):
    """A table and its test accuracies.

    Attributes:
        kind: form of the table.
        times: how many times smaller it was asked to be.
        bytes: of the table in predictions, with the characters of words if it needs them.
        accuracies: one a seed, 0 to 1.
    """

    kind: str
    times: int
    bytes: int
    accuracies: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--path", type=Path, required=True, help="folder with train, val and test tables")
    made.add_argument("--label_column", help="column of the labels; guessed if not given")
    made.add_argument("--segmenter", default="jieba", help="see --data.vocabulary.segmenter; default jieba")
    made.add_argument("--documents", type=at_least(2), default=10_000, help="of train; default 10,000")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    made.add_argument("--times", nargs="+", type=at_least(2), default=[2, 4, 8, 16, 32, 64])
    made.add_argument("--seeds", type=at_least(1), default=3, help="n; default 3")
    made.add_argument("--epochs", type=at_least(1), default=5)
    made.add_argument("--embedding_size", type=at_least(2), default=200)
    made.add_argument("--lr", type=float, default=0.01)
    made.add_argument("--picture", type=Path, help="PNG of the curve")
    args = made.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        data = shortened(args.path, Path(folder), args.documents, args.label_column, args.segmenter)
        train = Training(data, args.embedding_size, args.epochs, args.lr)
        plain, points = measure(train, args.kinds, args.times, range(args.seeds))
    cells = {(point.kind, point.times): point for point in points}
    rows = [[kind, *(cell(cells.get((kind, times)), plain) for times in args.times)] for kind in args.kinds]
    if args.picture is not None:
        draw(plain, points, args.picture, args.path.name)
    Report(
        title=f"Table of word vectors against accuracy, {args.path.name}: mean of words",
        columns=["form", *(f"{times} times" for times in args.times)],
        rows=rows,
        notes=[
            f"Test accuracy in percent, mean and standard deviation over {args.seeds} seeds; in brackets how many "
            f"times smaller the table is. The plain table of {plain.bytes:,} bytes: {percent(plain)}.",
            f"{len(data.sources['train']):,} documents of train, {train.vocabulary_size:,} words, "
            f"{len(data.sources['test']):,} of test; E {args.embedding_size}, {args.epochs} epochs of Adam, "
            f"lr {args.lr:g}. `frequent` adds vectors of characters.",
            *([f"![Size against accuracy]({args.picture.parent.name}/{args.picture.name})"] if args.picture else []),
        ],
        n=args.seeds,
        figures={"plain": plain._asdict(), "points": [point._asdict() for point in points]},
    ).show(args.json)


def shortened(source: Path, folder: Path, documents: int, label_column: str | None, segmenter: str) -> TextData:
    """Copy tables into a folder, of train so many lines in a random order, and open them as data."""
    for file in sorted(source.iterdir()):
        if file.suffix not in SUFFIXES:
            continue
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        if file.stem == "train":
            head = lines[: int(file.suffix == ".csv")]
            body = lines[len(head) :]
            random.Random(0).shuffle(body)
            lines = [*head, *body[:documents]]
        (folder / file.name).write_text("".join(lines), encoding="utf-8")
    data = TextData(str(folder), label_column=label_column, vocabulary=cast(Any, {"segmenter": segmenter}))
    data.prepare_once()
    return data


class Training:
    """Training and test of a model with any table, on the same data.

    Args:
        data: prepared.
        size: width of a word vector.
        epochs: of training.
        lr: learning rate of Adam.
    """

    def __init__(self, data: TextData, size: int, epochs: int, lr: float) -> None:
        self.data, self.size, self.epochs, self.lr = data, size, epochs, lr
        self.words = data.processor.vocabulary.words
        self.characters = data.processor.vocabulary.characters
        self.vocabulary_size = len(self.words)
        self.tests = list(data.test_dataloader())

    def model(self, kind: str, times: int, seed: int) -> MeanOfWords:
        """Make a model at random.

        Raises:
            ValueError: this form does not become so small.
        """
        torch.manual_seed(seed)
        table = WordTable(kind=cast(TableKind, kind), times=float(times))
        embedding = table.embed(self.vocabulary_size, self.size, 0.02, 0.3, len(self.characters), False)
        embedding.set_words(self.words, self.characters)
        return MeanOfWords(embedding, self.size, len(self.data.processor.categories))

    def fit(self, model: MeanOfWords, epochs: int, lr: float, seed: int) -> None:
        """Train a model; the order of documents depends on the seed alone."""
        optimizer = torch.optim.Adam(model.parameters(), lr)
        source, order = self.data.sources["train"], np.random.default_rng(seed)
        model.train()
        for _ in range(epochs):
            for index in np.array_split(order.permutation(len(source)), -(-len(source) // 64)):
                batch = source[index]
                loss = F.cross_entropy(model(batch), cast(Tensor, batch.label))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    @torch.no_grad()
    def accuracy(self, model: MeanOfWords) -> float:
        """Return the share of test documents whose class is right."""
        model.eval()
        right = sum(int((model(batch).argmax(1) == batch.label).sum()) for batch in self.tests)
        return right / sum(batch.size for batch in self.tests)

    def bytes(self, model: MeanOfWords) -> int:
        """Return the size of the table in predictions, with vectors of characters."""
        table, characters = model.embedding.table, model.embedding.characters
        if isinstance(table, ProductQuantisedTable):
            table = table.coded()
        if not isinstance(table, SmallTable):
            return FLOAT_BYTES * self.vocabulary_size * self.size
        return table.deployed_bytes + (0 if characters is None else FLOAT_BYTES * characters.weight.numel())

    def quantised(self, plain: MeanOfWords, times: int, seed: int) -> MeanOfWords:
        """Return the model with codes in place of its trained table, its centroids trained for an epoch.

        Raises:
            ValueError: codes do not become so small.
        """
        parts, centroids = code_sizes(self.vocabulary_size, self.size, times)
        if not parts:
            raise ValueError(f"codes can't be {times} times smaller")
        assert isinstance(plain.embedding.table, nn.Embedding)
        table = quantise(plain.embedding.table.weight.detach(), parts, centroids)
        embedding = WordEmbedding(self.vocabulary_size, self.size, 0.02, 0.3, table=table)
        model = MeanOfWords(embedding, self.size, len(self.data.processor.categories))
        model.output.load_state_dict(plain.output.state_dict())
        self.fit(model, 1, self.lr / 10, seed)
        return model


def measure(train: Training, kinds: list[str], times: list[int], seeds: range) -> tuple[Point, list[Point]]:
    """Train and test the plain table and each form of each size that it can have."""
    plains = []
    for seed in seeds:
        plains.append(train.model("plain", 2, seed))
        train.fit(plains[-1], train.epochs, train.lr, seed)
    plain = Point("plain", 1, train.bytes(plains[0]), [train.accuracy(model) for model in plains])
    points = []
    for kind in kinds:
        for smaller in times:
            made: list[MeanOfWords] = []
            for seed in seeds:
                try:
                    made.append(fitted(train, kind, smaller, seed, plains[seed]))
                except ValueError:
                    break
            if made:
                points.append(Point(kind, smaller, train.bytes(made[0]), [train.accuracy(model) for model in made]))
                print(f"{kind} {smaller}: {percent(points[-1])}", flush=True)
    return plain, points


def fitted(train: Training, kind: str, times: int, seed: int, plain: MeanOfWords) -> MeanOfWords:
    """Train a model with a small table."""
    if kind == QUANTISED:
        return train.quantised(plain, times, seed)
    model = train.model(kind, times, seed)
    train.fit(model, train.epochs, train.lr, seed)
    return model


def percent(point: Point) -> str:
    spread = f" ± {100 * statistics.stdev(point.accuracies):.2f}" if len(point.accuracies) > 1 else ""
    return f"{100 * point.mean:.2f}{spread}"


def cell(point: Point | None, plain: Point) -> str:
    """Format a point; a dash for a form that does not become so small."""
    return "–" if point is None else f"{percent(point)} ({plain.bytes / point.bytes:.1f})"


def draw(plain: Point, points: list[Point], file: Path, name: str) -> None:
    """Draw the accuracy of each form against its size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for kind, of_kind in groups(points, lambda point: point.kind):
        sizes = [plain.bytes / point.bytes for point in of_kind]
        deviations = [100 * statistics.pstdev(point.accuracies) for point in of_kind]
        axes.errorbar(sizes, [100 * p.mean for p in of_kind], deviations, marker="o", capsize=2, label=kind)
    axes.axhline(100 * plain.mean, color="black", linestyle="--", label="plain")
    axes.set(xscale="log", xlabel="times smaller than the plain table", ylabel="test accuracy, %", title=name)
    axes.set_xticks([2, 4, 8, 16, 32, 64], labels=["2", "4", "8", "16", "32", "64"])
    axes.minorticks_off()
    axes.legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def groups(points: list[Point], key: Callable[[Point], str]) -> Iterator[tuple[str, list[Point]]]:
    """Yield the points of each key, in the order of its first."""
    for value in dict.fromkeys(map(key, points)):
        yield value, [point for point in points if key(point) == value]


if __name__ == "__main__":
    run_main(main)
