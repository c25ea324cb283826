"""A note on a run that learns nothing: its loss is that of guessing, or all samples get the same prediction."""

from __future__ import annotations

from lightning_nn.tasks.base import Task

_NEAR = 0.99  # share of the loss of guessing from which on a loss counts as such


def learning_note(
    task: Task, val: float | None, train: float | None, monotony: str | None, *, first: bool = False
) -> str | None:
    """Return a line that names what a run fails to learn, with the remedy; None if there is nothing to say.

    Args:
        task: the trained model.
        val: loss of the best validation; None without validation.
        train: loss of the newest epoch over the training samples; None if it is not known.
        monotony: clause about the best validation, of `Task.monotony`.
        first: whether this is said after the first epoch, when a loss that one of the splits is spared counts as
            learning.
    """
    guess, losses = task.guessing_loss(), [loss for loss in (val, train) if loss is not None]
    facts, by_heart = [monotony] if monotony else [], False
    if guess and losses and (min(losses) if first else losses[0]) >= _NEAR * guess:
        name, loss = ("train/loss", losses[0]) if val is None else ("val/loss", val)
        facts.insert(0, f"{name} is {loss:.3g}, no lower than by guessing ({guess:.3g})")
        by_heart = not monotony and min(losses) < _NEAR * guess
    if not facts:
        return None
    said = " and ".join(facts)
    if by_heart:
        return f"{said}, but train/loss is {train:.3g}: train for fewer epochs, on more samples, or with weight decay"
    remedy = task.learning_remedy()
    return f"after the first epoch {said}; if it stays so, {remedy}" if first else f"{said}: {remedy}"
