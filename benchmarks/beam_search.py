"""Captions a second: beam search over pictures and beams at once against one picture at a time.

    python benchmarks/beam_search.py --pictures 32 --beam 3

The one-picture search is written as it often is: lists of beginnings, each extended on its own. Both use the same
decoder of Show and Tell, with random weights, and the captions and log-probabilities are first checked to agree.
"""

from __future__ import annotations

import time

import torch
from report import Report, Spread, at_least, parser, run_main
from torch import Tensor

from lightning_nn.errors import UserError
from lightning_nn.layers.beam_search import Vocabulary, beam_search
from lightning_nn.layers.recurrent import State
from lightning_nn.models.show_and_tell import LSTMDecoder

START, END, UNKNOWN = 1, 2, 0
VOCABULARY = Vocabulary(START, END, [UNKNOWN])


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=5, help="n: measurements of each side; default 5")
    made.add_argument("--pictures", type=at_least(1), default=32, help="pictures in a batch; default 32")
    made.add_argument("--beam", type=at_least(1), default=3)
    made.add_argument("--longest", type=at_least(1), default=20, help="words of a caption at most; default 20")
    made.add_argument("--hidden_size", type=at_least(1), default=512)
    made.add_argument("--vocabulary", type=at_least(4), default=2_500, help="size in words; default %(default)s")
    args = made.parse_args(argv)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = args.hidden_size
    decoder = LSTMDecoder(1024, args.vocabulary, size, size, 1, 0.0, False).to(device).eval()
    with torch.no_grad():
        decoder.output.weight.mul_(40)  # as sure of a word as a trained model, not uniform
        decoder.output.bias[END] += 3
    features = torch.rand(args.pictures, 1024, device=device)
    sides = {
        "batched": lambda: batched(decoder, features, args.beam, args.longest),
        "one at a time": lambda: [one(decoder, each[None], args.beam, args.longest) for each in features],
    }
    captions, others = (side() for side in sides.values())
    check(captions, others)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - start)
    rates = {name: Spread.of([args.pictures / each for each in values]) for name, values in seconds.items()}
    ratio = rates["batched"].median / rates["one at a time"].median
    mean = sum(len(words) for words, _ in captions) / len(captions)
    Report(
        title=f"Beam search, beam {args.beam}: captions a second",
        columns=["side", "captions/s, median (range)"],
        rows=[[name, rate.text(".1f")] for name, rate in rates.items()],
        notes=[
            f"Ratio of the medians {ratio:.1f}. {args.pictures} pictures, the same captions of {mean:.1f} words on "
            f"average out of {args.vocabulary:,}, LSTM of {size}, on the {device.type}."
        ],
        n=args.rounds,
        figures={"seconds": seconds, "ratio": ratio},
    ).show(args.json)


def batched(decoder: LSTMDecoder, features: Tensor, beam: int, longest: int) -> list[tuple[list[int], float]]:
    """Search for all pictures at once."""
    with torch.inference_mode():
        found = beam_search(step_of(decoder), decoder.start(features), VOCABULARY, beam=beam, longest=longest)
        return list(zip(found.lists(END), found.log_probability.tolist(), strict=True))


def step_of(decoder: LSTMDecoder):  # type: ignore[no-untyped-def]
    def step(state: State, ids: Tensor) -> tuple[Tensor, State]:
        logits, state = decoder.step(state, ids)
        return logits.log_softmax(1), state

    return step


@torch.inference_mode()
def one(decoder: LSTMDecoder, features: Tensor, beam: int, longest: int) -> tuple[list[int], float]:
    """Search for one picture, beginning by beginning."""
    step = step_of(decoder)
    live: list[tuple[float, list[int], State]] = [(0.0, [], decoder.start(features))]
    best: tuple[float, list[int]] = (-float("inf"), [])
    for t in range(longest + 1):
        candidates = []
        for total, words, state in live:
            logp, after = step(state, torch.tensor([words[-1] if words else START], device=features.device))
            logp[0, [UNKNOWN, START]] = -torch.inf
            if t == 0:
                logp[0, END] = -torch.inf
            if t == longest:
                candidates.append((total + float(logp[0, END]), [*words, END], after))
                continue
            values, ids = logp[0].topk(min(2 * beam, logp.shape[1]))
            candidates += [
                (total + value, [*words, word], after)
                for value, word in zip(values.tolist(), ids.tolist(), strict=True)
            ]
        candidates.sort(key=lambda each: -each[0])
        for total, words, _ in candidates[:beam]:
            if words[-1] == END and total > best[0]:
                best = (total, words[:-1])
        live = [each for each in candidates if each[1][-1] != END][:beam]
        if not live or live[0][0] <= best[0]:
            break
    return best[1], best[0]


def check(captions: list[tuple[list[int], float]], others: list[tuple[list[int], float]]) -> None:
    """Compare the captions of both sides.

    Raises:
        UserError: they differ, so are not the same search.
    """
    for number, ((words, logp), (other, other_logp)) in enumerate(zip(captions, others, strict=True)):
        if words != other or abs(logp - other_logp) > 1e-3:
            raise UserError(f"picture {number}: {words} ({logp:.4f}) at once, {other} ({other_logp:.4f}) alone")


if __name__ == "__main__":
    run_main(main)
