"""Saving: a run that was stopped and continued equals one that never stopped, to the bit, if its whole state is saved.

    (w, v, position, random state)_{t+1} = step((w, v, position, random state)_t)

w are the weights and v what the optimizer remembers, such as its momentum; the position in the epoch decides the next
batch, the random state the next dropout. A step is a function of all four, so a file that lacks one of them continues
another run.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import torch

from lightning_nn import ConvNet, Digits, ImageBatch, Optimizer
from lightning_nn.lessons.lesson import BLUE, ORANGE, RED, Array, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = ["conv 8 3 padding=1", "batch_norm", "relu", "max_pool 2", "flatten", "linear 32", "relu", "dropout p=0.5"]
PARTS = ("weights", "optimizer", "position", "random state")
STEPS = 40
GAP = "gap of weights"


class Run:
    """A training that can be saved and restored."""

    def __init__(self) -> None:
        self.model = ConvNet.for_data(data := Digits(), layers=LAYERS)
        self.optimizer = Optimizer(name="adam", lr=0.003).build(self.model.parameter_groups())
        self.loader = data.train_dataloader()
        self.batches = iter(self.loader)

    def next_batch(self) -> ImageBatch:
        """Return the next batch of the epoch, or the first of the next one."""
        if (batch := next(self.batches, None)) is None:
            self.loader.batch_sampler.set_epoch(self.loader.batch_sampler.epoch + 1)
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return cast(ImageBatch, batch)

    def train(self, steps: int) -> list[float]:
        """Take some steps, and return their losses; a new epoch begins where one ends."""
        losses = []
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.model.training_step(self.next_batch())
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    def save(self) -> bytes:
        """Return all that the next step depends on, as a file."""
        state = {
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "position": self.loader.state_dict(),
            "random state": torch.get_rng_state(),
        }
        torch.save(state, file := io.BytesIO())
        return file.getvalue()

    def restore(self, saved: bytes, without: str = "") -> None:
        """Continue from a file, of which one part is left out."""
        state: dict[str, Any] = torch.load(io.BytesIO(saved), weights_only=True)
        if without != "weights":
            self.model.load_state_dict(state["weights"])
        if without != "optimizer":
            self.optimizer.load_state_dict(state["optimizer"])
        if without != "position":
            self.loader.batch_sampler.set_epoch(state["position"]["epoch"])
            self.loader.load_state_dict(state["position"])
            self.batches = iter(self.loader)
        if without != "random state":
            torch.set_rng_state(state["random state"])


def gap(one: Run, other: Run) -> float:
    """Return the largest difference of two runs' weights."""
    weights = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in weights)


def run(seed: int = 0, size: Size = "full", *, stop: int = 20) -> Result:
    """Stop a run of forty steps, continue it in a new one, and compare it with one that goes on."""
    whole = Run()
    before = whole.train(stop)
    saved = whole.save()
    after = whole.train(STEPS - stop)
    rows: list[Row] = []
    arrays: dict[str, Array] = {"whole": torch.tensor(before + after).numpy()}
    for without in ("", *PARTS):
        continued = Run()
        continued.restore(saved, without)
        losses = continued.train(STEPS - stop)
        rows.append(
            {
                "left out": without or "nothing",
                "equal losses": sum(a == b for a, b in zip(losses, after, strict=True)),
                "gap of losses": max(abs(a - b) for a, b in zip(losses, after, strict=True)),
                GAP: gap(whole, continued),
            }
        )
        arrays[without or "nothing"] = torch.tensor(losses).numpy()
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the losses of the whole run, and those of runs that were continued with and without all of its state."""
    axes = figure.subplots()
    whole, stop = result.arrays["whole"], len(result.arrays["whole"]) - len(result.arrays["nothing"])
    axes.plot(whole, color="lightgrey", linewidth=6)
    axes.axvline(stop - 0.5, color="grey", linewidth=1)
    for name, style, colour in (("nothing", "-", BLUE), ("optimizer", "--", ORANGE), ("weights", ":", RED)):
        axes.plot(range(stop, len(whole)), result.arrays[name], style, color=colour)
    axes.set(xlabel="t", ylabel="L", ylim=(0, None))


def claim(result: Result) -> list[Claim]:
    """Say that nothing differs if nothing is left out, and something if anything is."""
    rest = [row for row in result.rows if row["left out"] != "nothing"]
    all_saved = result.row(**{"left out": "nothing"})
    return [
        Claim("gap of weights, all saved", all_saved[GAP], "==", 0),
        Claim("gap of losses, all saved", all_saved["gap of losses"], "==", 0),
        Claim("equal losses, all saved", all_saved["equal losses"], "==", len(result.arrays["nothing"])),
        Claim("smallest gap of weights, a part left out", min(row[GAP] for row in rest), ">=", 1e-4),
        Claim("most equal losses, a part left out", max(row["equal losses"] for row in rest), "<=", 1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the gap of the weights if all is saved."""
    gap = result.row(**{"left out": "nothing"})[GAP]
    return 1 if gap == 0 else 2 if gap < 1e-5 else 3


def answer_1() -> list[Claim]:
    """Save and continue at the end of an epoch, without the position."""
    whole = Run()
    whole.train(len(whole.loader))
    saved = whole.save()
    whole.train(10)
    continued = Run()
    continued.restore(saved, without="position")
    continued.train(10)
    return [Claim("gap of weights, stopped between epochs without the position", gap(whole, continued), ">=", 1e-4)]


def answer_2() -> list[Claim]:
    """Compare the sizes of the parts of a file."""
    training = Run()
    training.train(1)
    weights = sum(parameter.numel() for parameter in training.model.parameters())
    memory = sum(
        value.numel()
        for state in training.optimizer.state_dict()["state"].values()
        for value in state.values()
        if value.ndim
    )
    return [Claim("numbers that Adam remembers, by those of the weights", memory / weights, "==", 2)]
