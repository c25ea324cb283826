"""Where HAN looks: the share of test bulletins whose heaviest sentence is one that decides the category."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lightning_nn import HAN, Bulletins
from lightning_nn.data.bulletins import BAYES_ACCURACY
from lightning_nn.results import save_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of `train.py --model han`; its results.json is added to")
    run = parser.parse_args().run
    model = HAN.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    data = Bulletins()
    data.adopt(model.reader)
    data.prepare_once()
    share, accuracy = looked_at(model, data)
    print(
        f"{share:.1%} of {len(data.sources['test']):,} documents have their heaviest sentence among the deciding ones"
    )
    print(f"test accuracy {accuracy:.1%}; the best possible is {BAYES_ACCURACY:.1%}")
    save_results(run / "results.json", {"test/attention_on_deciding": share})


@torch.inference_mode()
def looked_at(model: HAN, data: Bulletins) -> tuple[float, float]:
    """Share of test documents that were judged by a deciding sentence, and test accuracy, both 0 to 1."""
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
    main()
