"""Captions of scenes: the share of the generated test captions that are wholly true of their pictures.

    python benchmarks/caption_truth.py RUN

RUN is the folder of a tested run, whose predictions.csv is read. A caption is true if all its claims are and it names
two objects with kind, colour and place, or the only one. Beside it the best of these sentences for all pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from report import Report, parser, run_main

from lightning_nn import Scenes
from lightning_nn.data.captions.processor import Language
from lightning_nn.data.synthetic.scenes.captions import truth
from lightning_nn.data.synthetic.scenes.layout import SceneObject
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import save_results
from lightning_nn.runs.saved_settings import trusted


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("run", type=Path, help="run folder of a captioner trained on scenes; adds to its results.json")
    args = made.parse_args(argv)
    best = args.run / "checkpoints" / "best.ckpt"
    checkpoint = Checkpoint.open(best)
    if checkpoint.data != "scenes":
        raise UserError(f"{best} was not trained on scenes, of which alone it is known what they show")
    options = trusted([{"data": checkpoint.data_arguments}], {"data": Scenes}).group("data")
    data = Scenes(**{name: value for name, value in options.items() if "." not in name})  # not of augmentation
    scenes, captions = data.objects("test"), read_captions(args.run / "predictions.csv")
    true = [truth(caption, scenes[scene], data.language) for scene, caption in captions]
    constant = best_constant(scenes, [caption for _, caption in captions], data.language)
    share = sum(true) / len(true)
    false = [caption for (_, caption), right in zip(captions, true, strict=True) if not right]
    Report(
        title="Truth of captions",
        columns=["", "share"],
        rows=[["wholly true", f"{share:.1%}"], ["the best of these sentences for all pictures", f"{constant:.1%}"]],
        notes=[f"{len(true):,} test pictures. False, for instance: {'; '.join(false[:3])}" if false else "None false."],
        figures={"test/true": share, "constant": constant},
    ).show(args.json)
    save_results(args.run / "results.json", {"test/true": share})


def read_captions(file: Path) -> list[tuple[int, str]]:
    """Read the number of each picture in the test split and its caption."""
    if not file.is_file():
        best = file.parent / "checkpoints" / "best.ckpt"
        raise UserError(f"{file}: no such file; write it: python train.py test --ckpt_path {best}")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return [(int(row["file"]), row["caption"]) for row in csv.DictReader(stream)]


def best_constant(scenes: Sequence[Sequence[SceneObject]], captions: Sequence[str], language: Language) -> float:
    """Return the largest share of pictures of which one of the sentences is true."""
    return max(sum(truth(text, objects, language) for objects in scenes) for text in set(captions)) / len(scenes)


if __name__ == "__main__":
    run_main(main)
