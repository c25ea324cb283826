"""Padded batches: the arithmetic of flat ones for programs whose tensors are rectangular, such as ONNX.

The sequences of a padded batch have the same number of steps, T; those behind the length of a sequence are padding,
whose values never reach a result. `lightning_nn.layers.ragged` and `.recurrent` compute the same without padding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from lightning_nn.layers.attention import ContextAttention
from lightning_nn.layers.cells import Cell
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.recurrent import FlatRNN

_ONNX_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "RNN": (0,)}  # places of ONNX's gates in torch's weights


def step_mask(lengths: Tensor, steps: int) -> Tensor:
    """Return which steps belong to their sequence, bool (N, T).

    Args:
        lengths: int64 (N,).
        steps: T.
    """
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def pad(rows: Tensor, lengths: Tensor) -> Tensor:
    """Pad the rows of a flat batch with zeros, (W, ...) to (N, T, ...).

    Args:
        rows: the rows of all sequences, one after another.
        lengths: int64 (N,), rows of each sequence.
    """
    return pad_sequence(list(torch.split(rows, lengths.tolist())), batch_first=True)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average the steps of each sequence, (N, T, E) to (N, E)."""
    return (values * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def masked_max(values: Tensor, mask: Tensor) -> Tensor:
    """Take the maximum over the steps of each sequence, (N, T, E) to (N, E)."""
    return values.masked_fill(~mask[..., None], torch.finfo(values.dtype).min).amax(1)


def rectangle(rows: Tensor, count: int, steps: int) -> Tensor:
    """Arrange rows by sequence, (N T, E) to (N, T, E).

    It selects them by their places, since torch exports a view for more than one step alone.
    """
    sequence, step = torch.arange(count, device=rows.device), torch.arange(steps, device=rows.device)
    return rows[sequence[:, None] * steps + step]


def embed(embedding: WordEmbedding, words: Tensor, ngrams: Tensor | None = None) -> Tensor:
    """Return the vectors (N, T, E) of words in evaluation; see `WordEmbedding`.

    Args:
        embedding: the layer.
        words: ids, int64 (N, T).
        ngrams: rows of the n-grams that begin at each word, int64 (N, T, longest - 1); None without n-grams.
    """
    flat = words.flatten()
    vectors = cast(Tensor, embedding.table(flat))
    if embedding.characters is not None:
        characters = embedding.word_characters[flat].long()  # (N T, 8), 0 behind the last one
        of_characters = nn.functional.embedding(characters, embedding.characters.weight)  # (N T, 8, E)
        vectors = vectors + masked_mean(of_characters, characters > 0)
    vectors = rectangle(vectors, *words.shape)
    if embedding.ngrams is None or ngrams is None:
        return vectors
    return vectors + cast(Tensor, embedding.ngrams.table(ngrams)).sum(2)


def attend(attention: ContextAttention, rows: Tensor, mask: Tensor) -> Tensor:
    """Return the summary of each sequence, (N, T, E) to (N, E), with weights by a masked softmax."""
    similarity = attention.context(attention.projection(rows).tanh()).squeeze(2)  # (N, T)
    weights = similarity.masked_fill(~mask, torch.finfo(similarity.dtype).min).softmax(1)
    return (weights[..., None] * rows).sum(1)


class PaddedRNN(nn.Module):
    """The recurrent layers of a `FlatRNN` over a padded batch.

    While torch exports, each layer is an operator of ONNX, RNN, LSTM or GRU, which takes the lengths, or, with
    `by_steps`, a scan of the equations of its cell; else it is torch's own layer over a packed sequence.

    Args:
        flat: layers in evaluation mode, whose weights are used.

    Attributes:
        by_steps: export no operators of ONNX, which torch can't run.
    """

    by_steps = False

    def __init__(self, flat: FlatRNN) -> None:
        super().__init__()
        self.flat, self.rnn, self.direction = flat, flat.rnn, flat.direction
        self.operator = {"RNN_TANH": "RNN"}.get(flat.rnn.mode, flat.rnn.mode)
        for number, weights in enumerate(flat.layer_weights()):
            by_onnx = [torch.stack([self._reordered(one) for one in tensors]).detach() for tensors in weights]
            self.register_buffer(f"rows_{number}", by_onnx[0], persistent=False)  # (D, G H, E)
            self.register_buffer(f"state_{number}", by_onnx[1], persistent=False)  # (D, G H, H)
            self.register_buffer(f"bias_{number}", torch.cat(by_onnx[2:], 1), persistent=False)  # (D, 2 G H)

    def _reordered(self, weights: Tensor) -> Tensor:
        """Put the gates of a tensor of torch, (G H, ...), into the order of ONNX."""
        gates = weights.chunk(len(_ONNX_GATES[self.operator]))
        return torch.cat([gates[place] for place in _ONNX_GATES[self.operator]])

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Compute the states of every step, (N, T, D H).

        Args:
            rows: (N, T, E).
            lengths: int64 (N,), at least 1.
        """
        if torch.compiler.is_compiling():
            return self._by_steps(rows, lengths) if self.by_steps else self._by_onnx(rows, lengths)
        if self.direction == "backward":
            rows = self._mirrored(rows, lengths)
        packed = pack_padded_sequence(rows.transpose(0, 1), lengths.cpu(), enforce_sorted=False)
        states = pad_packed_sequence(self.rnn(packed)[0], total_length=rows.shape[1])[0].transpose(0, 1)
        return self._mirrored(states, lengths) if self.direction == "backward" else states

    def _by_onnx(self, rows: Tensor, lengths: Tensor) -> Tensor:
        directions = {"forward": "forward", "backward": "reverse", "both": "bidirectional"}
        attributes: dict[str, Any] = {"hidden_size": self.rnn.hidden_size, "direction": directions[self.direction]}
        if self.operator == "GRU":
            attributes["linear_before_reset"] = 1  # the reset gate after the product, as in torch
        states = rows.transpose(0, 1)  # (T, N, E)
        steps, count = states.shape[:2]
        for number in range(self.rnn.num_layers):
            weights = [self.get_buffer(f"{name}_{number}") for name in ("rows", "state", "bias")]
            shape = [steps, len(weights[0]), count, self.rnn.hidden_size]
            inputs = [states, *weights, lengths.int()]
            by_direction = torch.onnx.ops.symbolic(self.operator, inputs, attributes, dtype=rows.dtype, shape=shape)
            states = by_direction.transpose(1, 2).flatten(2)  # (T, N, D H)
        return states.transpose(0, 1)

    def _by_steps(self, rows: Tensor, lengths: Tensor) -> Tensor:
        backward = {"forward": [False], "backward": [True], "both": [False, True]}[self.direction]
        for weights in self.flat.layer_weights():
            states = []
            for mirrored, *of_direction in zip(backward, *weights, strict=True):
                run = _scan(self.flat.equations, self._mirrored(rows, lengths) if mirrored else rows, *of_direction)
                states.append(self._mirrored(run, lengths) if mirrored else run)
            rows = torch.cat(states, 2)  # (N, T, D H)
        return rows

    @staticmethod
    def _mirrored(rows: Tensor, lengths: Tensor) -> Tensor:
        """Put the steps of each sequence into reverse order; padding stays behind them."""
        step = torch.arange(rows.shape[1], device=rows.device)
        place = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)
        return rows.gather(1, place[..., None].expand_as(rows))

    def last(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Select the final state of each sequence, in each direction, (N, D H)."""
        end = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
        first, last = states[:, 0], states.gather(1, end).squeeze(1)
        if self.direction == "both":
            hidden = self.rnn.hidden_size
            return torch.cat([last[:, :hidden], first[:, hidden:]], 1)
        return first if self.direction == "backward" else last


def _scan(equations: type[Cell], rows: Tensor, u: Tensor, w: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Compute the states of a cell from the first step to the last, (N, T, H), by one operator for any T.

    Args:
        equations: of the cell.
        rows: (N, T, E).
        u: weights of the rows, (G H, E).
        w: weights of the state, (G H, H).
        b: bias of the rows, (G H,).
        c: bias of the state, (G H,).
    """
    from torch._higher_order_ops.scan import scan

    def step(state: tuple[Tensor, ...], of_row: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        state = equations.step(of_row, nn.functional.linear(state[0], w, c), state)[0]
        return state, state[0].clone()

    of_rows = nn.functional.linear(rows, u, b).transpose(0, 1)  # (T, N, G H)
    first = tuple(rows.new_zeros(rows.shape[0], w.shape[1]) for _ in range(equations.states))
    return cast(Tensor, scan(step, first, of_rows, dim=0)[1].transpose(0, 1))
