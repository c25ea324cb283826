"""HAN's attention: the share of test bulletins whose heaviest sentence is one that decides the category."""

from __future__ import annotations

from pathlib import Path

import torch
from report import Report, parser, run_main

from lightning_nn import HAN, Bulletins
from lightning_nn.data.synthetic.bulletins.generator import BAYES_ACCURACY
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import save_results
from lightning_nn.runs.saved_settings import trusted


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("run", type=Path, help="run folder of `train.py --model han`; adds to its results.json")
    args = made.parse_args(argv)
    best = args.run / "checkpoints" / "best.ckpt"
    checkpoint = Checkpoint.open(best)
    if checkpoint.data != "bulletins":
        raise UserError(f"{best} was not trained on bulletins, of which alone it is known which sentences decide")
    model = HAN.from_checkpoint(checkpoint)
    data = Bulletins(**trusted([{"data": checkpoint.data_arguments}], {"data": Bulletins}).group("data"))
    data.use_processor(model.processor)
    share, accuracy = looked_at(model, data)
    figures = {"test/attention_on_deciding": share, "test/acc": accuracy, "bayes": BAYES_ACCURACY}
    count = len(data.sources["test"])
    Report(
        title="Where HAN looks",
        columns=["", "share"],
        rows=[
            ["heaviest sentence is a deciding one", f"{share:.1%}"],
            ["test accuracy", f"{accuracy:.1%}"],
            ["the best possible", f"{BAYES_ACCURACY:.1%}"],
        ],
        notes=[f"{count:,} test bulletins."],
        figures=figures,
    ).show(args.json)
    save_results(args.run / "results.json", {"test/attention_on_deciding": share})


@torch.inference_mode()
def looked_at(model: HAN, data: Bulletins) -> tuple[float, float]:
    """Compute the share of test documents whose heaviest sentence decides, and test accuracy, both 0 to 1."""
    data.prepare_once()
    source, deciding = data.sources["test"], data.deciding("test")
    looked = right = 0
    for index in data.test_dataloader().batch_sampler:
        batch = source[index]
        logits, _, weights = model(batch, return_attention=True)
        right += int((logits.argmax(1) == batch.label).sum())
        heaviest = [int(w.argmax()) for w in weights.split(batch.documents.tolist())]
        looked += sum(sentence in deciding[document] for document, sentence in zip(index, heaviest, strict=True))
    return looked / len(source), right / len(source)


if __name__ == "__main__":
    run_main(main)
