"""BLEU, ROUGE-L and CIDEr-D against the digits of pycocoevalcap on the test captions of Flickr8k, and how fast.

    python benchmarks/caption_metrics.py PATH

PATH is a folder with captions.tsv and reference_metrics.json, the reference's digits for several ways to split captions
into words: one person's captions against the others', and one sentence for all pictures. Fails if a digit differs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from report import Report, parser, run_main

from lightning_nn.data.captions.files import CaptionLine, read_captions
from lightning_nn.data.captions.processor import Language
from lightning_nn.data.captions.words import Tokenizer
from lightning_nn.data.tables.rows import BadRowError
from lightning_nn.errors import UserError
from lightning_nn.metrics.captions import CaptionCorpus, bleu, cider_d, rouge_l

Split = Callable[[str], list[str]]
_SENTENCE = re.compile(r"\((.*)\) against")
_CLOSE = 1e-9


def lettered(text: str) -> list[str]:
    """Split at spaces; drop what has no letter and no digit."""
    return [word for word in text.lower().split() if any(map(str.isalnum, word))]


TOKENIZATIONS: dict[str, tuple[Language, Split]] = {
    "en lower whitespace": ("en", lambda text: text.lower().split()),
    "en lower, tokens without a letter or digit dropped": ("en", lettered),
    "zh characters": ("zh", lambda text: [character for character in text if not character.isspace()]),
    "zh characters without punctuation": ("zh", Tokenizer("zh", "chars")),
    "zh jieba 0.42.1 words without punctuation": ("zh", Tokenizer("zh", "words")),
}


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("path", type=Path, help="folder with captions.tsv and reference_metrics.json")
    args = made.parse_args(argv)
    reference = json.loads((args.path / "reference_metrics.json").read_text(encoding="utf-8"))
    rows, figures = [], {}
    for name, expected in reference["flickr8k_test"].items():
        language, split = TOKENIZATIONS[name]
        captions = [[split(text) for text in some] for some in read_test(args.path / "captions.tsv", language)]
        for task, scores in expected.items():
            constant = _SENTENCE.search(task)
            candidates = [split(constant[1]) if constant else some[0] for some in captions]
            references = captions if constant else [some[1:] for some in captions]
            start = time.perf_counter()
            found = score(candidates, references)
            seconds = time.perf_counter() - start
            apart = max(abs(found[metric] - value) for metric, value in scores.items())
            kind = "one sentence for all" if constant else "one person against four"
            rows.append([f"{name}, {kind}", f"{found['cider']:.6f}", f"{apart:.1e}", f"{seconds:.2f}"])
            figures[f"{name}, {kind}"] = {"apart": apart, "seconds": seconds, **found}
    toys = reference["toy"]["pictures"]
    candidates = [toy["candidate"].split() for toy in toys]
    references = [[text.split() for text in toy["references"]] for toy in toys]
    found = score(candidates, references)
    apart = max(abs(found[metric] - value) for metric, value in reference["toy"]["corpus"].items())
    rows.append(["toy pictures", f"{found['cider']:.6f}", f"{apart:.1e}", ""])
    figures["toy pictures"] = {"apart": apart, **found}
    Report(
        title="Metrics of captions against pycocoevalcap",
        columns=["tokens and captions", "CIDEr-D", "largest difference of six metrics", "seconds"],
        rows=rows,
        notes=["Words are numbered first; the seconds are those of all six metrics."],
        figures=figures,
    ).show(args.json)
    if wrong := [row[0] for row in rows if float(row[2]) > _CLOSE]:
        raise UserError(f"other digits than the reference's: {', '.join(wrong)}")


def read_test(file: Path, language: Language) -> list[list[str]]:
    """Read the captions of each test picture."""
    found: dict[str, list[str]] = {}
    for line in read_captions(file, language, "utf-8"):
        if isinstance(line, BadRowError):
            raise line
        if line.split == "test":
            found.setdefault(line.picture, []).append(text_of(line))
    return [*found.values()]


def text_of(line: CaptionLine) -> str:
    """Return the caption of a line that has one."""
    return line.caption or ""


def score(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    """Compute the six metrics."""
    ids: dict[str, int] = {}

    def number(words: Sequence[str]) -> list[int]:
        return [ids.setdefault(word, len(ids)) for word in words]

    corpus = CaptionCorpus.of([number(c) for c in candidates], [[number(c) for c in some] for some in references])
    scores = {f"bleu{n}": float(value) for n, value in enumerate(bleu(corpus), 1)}
    return scores | {"rouge_l": float(rouge_l(corpus).mean()), "cider": float(cider_d(corpus).mean())}


if __name__ == "__main__":
    run_main(main)
