"""The usual ways to compute the same HAN with the same weights: padded, and sentence by sentence.

Each function computes the logits of a trained `HAN` on a flat batch, so that speed is compared at equal logits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from lightning_nn import HAN, TextBatch
from lightning_nn.layers import ContextAttention

Way = Callable[[HAN, TextBatch], Tensor]


def flat(model: HAN, batch: TextBatch) -> Tensor:
    """Compute the logits as the package does, on the flat batch: (D, K)."""
    return model(batch)


def by_sentence(model: HAN, batch: TextBatch) -> Tensor:
    """Compute the logits in a Python loop over documents and their sentences: (D, K)."""
    vectors = model.embedding(batch.words).split(batch.sentences.tolist())  # S times (T, E)
    logits, first = [], 0
    for count in batch.documents.tolist():
        sentences = []
        for words in vectors[first : first + count]:
            h, _ = model.word_rnn.rnn(words.unsqueeze(1))  # (T, 1, 2H)
            sentences.append(_attend(model.word_attention, h.squeeze(1)))
        h, _ = model.sentence_rnn.rnn(model.dropout(torch.stack(sentences)).unsqueeze(1))  # (S, 1, 2H)
        logits.append(model.output(model.dropout(_attend(model.sentence_attention, h.squeeze(1)))))
        first += count
    return torch.stack(logits)


def padded(model: HAN, batch: TextBatch) -> Tensor:
    """Compute the logits padded to the longest document and sentence and masked; GRUs run over padding: (D, K)."""
    return _padded(model, batch, _run_padding)


def padded_packed(model: HAN, batch: TextBatch) -> Tensor:
    """Compute the logits padded likewise, but with packed sequences for the GRUs: (D, K)."""
    return _padded(model, batch, _run_packed)


WAYS: dict[str, Way] = {
    "flat (the default)": flat,
    "padded to the longest, masked": padded,
    "padded to the longest, packed for the GRU": padded_packed,
    "loop over sentences": by_sentence,
}


def padded_words(batch: TextBatch) -> int:
    """Count the words of the padded batch, padding included."""
    return len(batch.documents) * int(batch.documents.max()) * int(batch.sentences.max())


def describe(batches: list[TextBatch]) -> str:
    """Describe the number and the lengths of the documents."""
    documents, sentences = (torch.cat([batch[i] for batch in batches]).double() for i in (0, 1))  # type: ignore[misc]
    return (
        f"{len(documents)} documents in {len(batches)} batches, sentences of a document {_range(documents)}, words "
        f"of a sentence {_range(sentences)}"
    )


def _range(values: torch.Tensor) -> str:
    return f"median {values.median():.0f}, at most {values.max():.0f}"


def _attend(attention: ContextAttention, h: Tensor) -> Tensor:
    """Summarize one segment, (T, 2H) to (2H,)."""
    weights = attention.context(attention.projection(h).tanh()).softmax(0)  # (T, 1)
    return (weights * h).sum(0)


def _padded(model: HAN, batch: TextBatch, run: Callable[[nn.RNNBase, Tensor, Tensor], Tensor]) -> Tensor:
    documents, sentences, *_ = batch
    counts = documents.tolist()
    sizes = pad_sequence(list(torch.split(sentences, counts)), batch_first=True)  # (D, S), 0 where there is no sentence
    longest = int(sentences.max())
    rows = pad_sequence(list(torch.split(batch.words, sentences.tolist())), batch_first=True)  # (all sentences, T)
    words = pad_sequence(list(torch.split(rows, counts)), batch_first=True)  # (D, S, T)
    D, S = sizes.shape
    lengths = sizes.flatten()  # (D S,)
    x = model.embedding(words.reshape(D * S, longest))  # (D S, T, E)
    h = run(model.word_rnn.rnn, x, lengths)  # (D S, T, 2H)
    s = _attend_masked(model.word_attention, h, lengths).reshape(D, S, -1)
    h = run(model.sentence_rnn.rnn, model.dropout(s), documents)  # (D, S, 2H)
    v = _attend_masked(model.sentence_attention, h, documents)
    return model.output(model.dropout(v))


def _attend_masked(attention: ContextAttention, h: Tensor, lengths: Tensor) -> Tensor:
    """Summarize rows, (N, T, 2H) to (N, 2H); zero if a length is 0."""
    there = torch.arange(h.shape[1]) < lengths.unsqueeze(1)  # (N, T)
    scores = attention.context(attention.projection(h).tanh()).squeeze(2)  # (N, T)
    # A row without words would be 0 / 0: hence the smallest number instead of -inf, and the mask once more.
    weights = scores.masked_fill(~there, torch.finfo(scores.dtype).min).softmax(1) * there
    return (weights.unsqueeze(1) @ h).squeeze(1)


def _run_padding(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """Run both directions over (N, T, E), padding included; the second starts at each row's own last word."""
    N, T, _ = x.shape
    step = torch.arange(T)
    turned = (lengths.unsqueeze(1) - 1 - step).where(step < lengths.unsqueeze(1), step)  # (N, T)
    rows = torch.arange(N).unsqueeze(1)
    forward = _direction(rnn, x, "")
    backward = _direction(rnn, x[rows, turned], "_reverse")[rows, turned]
    return torch.cat([forward, backward], dim=2)


def _direction(rnn: nn.RNNBase, x: Tensor, suffix: str) -> Tensor:
    """Run one direction of a bidirectional GRU with its weights: (N, T, H)."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(rnn, name + suffix) for name in names]
    start = x.new_zeros(1, len(x), rnn.hidden_size)
    states: Tensor = torch.gru(x, start, weights, True, 1, 0.0, rnn.training, False, True)[0]
    return states


def _run_packed(rnn: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """Run the GRU over (N, T, E), packed; rows of length 0 run for one step."""
    packed = pack_padded_sequence(x.transpose(0, 1), lengths.clamp(min=1), enforce_sorted=False)
    return pad_packed_sequence(rnn(packed)[0], total_length=x.shape[1])[0].transpose(0, 1)
