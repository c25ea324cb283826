"""Compression of a trained text model to a size in bytes: fewer words, codes for their vectors, and fewer bits.

After A. Joulin, E. Grave, P. Bojanowski, M. Douze, H. Jegou, T. Mikolov: FastText.zip: Compressing text classification
models, 2016. The words that are kept are those without which predictions would change most: a word that is left out is
read as the unknown one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nn.data.batches import TextBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.product_quantisation import quantise
from lightning_nn.layers.small_embedding import FLOAT_BYTES, MOST_CODES, SmallTable
from lightning_nn.runs.packed_rows import Bits, packed_bytes
from lightning_nn.runs.weights_file import deflated
from lightning_nn.tasks.text_classification import TextClassifier

HALF_BYTES = 2  # of a centroid or norm, as every weight at least
_WIDTH = 8  # values of a part, if not all words fit with finer parts


class Plan(NamedTuple):
    """Words and codes of a compressed model.

    Attributes:
        words: ids of the words that it keeps, in their order; the unknown word, 0, is first.
        parts: D, into which a vector is cut.
        centroids: K, of each part.
    """

    words: list[int]
    parts: int
    centroids: int


def deployed_bytes(model: TextClassifier, words: list[str]) -> int:
    """Count the bytes that predictions need: weights of four bytes, codes of one, and the words, deflated.

    The characters of words, which follow from the words, are not counted, nor what is only needed to train further.

    Args:
        model: the model.
        words: its vocabulary.
    """
    return _rest_bytes(model, 32) + _table_bytes(model) + len(deflated(words))


def word_vectors(model: TextClassifier) -> Tensor:
    """Compute the vectors of all words without their characters, (V, E)."""
    device = next(model.parameters()).device
    ids = torch.split(torch.arange(model.embedding.vocabulary_size, device=device), 4096)
    with torch.no_grad():
        return torch.cat([model.embedding.table(block) for block in ids])


def effects(model: TextClassifier, batches: Iterable[TextBatch]) -> Tensor:
    """Estimate how much the predictions change if a word is left out, for each word of the vocabulary.

    The effect of an occurrence is the change of the log probability of the predicted class on the way from the unknown
    word's vector to that of the word, to first order halfway, all words of the document moving together; see
    `TextClassifier.contributions`. The magnitudes of all occurrences are added.

    Args:
        model: the trained model.
        batches: documents, on the model's device.

    Returns:
        The effect of each word, (V,), at least 0; 0 for a word that does not occur, and for the unknown word.
    """
    effect = torch.zeros(model.embedding.vocabulary_size, device=next(model.parameters()).device)
    for batch in batches:
        with model.evaluating(), torch.no_grad():
            predicted = model(batch).argmax(1)
        effect.index_add_(0, batch.words, model.contributions(batch, predicted, steps=1).abs().float())
    return effect


def plan(model: TextClassifier, words: list[str], effect: Tensor, size: int, bits: Bits) -> Plan:
    """Choose the words to keep and the codes of their vectors for a size.

    K is 256, or as many centroids as take half of what the network leaves; a part has 8 values, or fewer if all words
    fit even so.

    Args:
        model: the trained model.
        words: its vocabulary, V words.
        effect: of leaving each word out, (V,), from `effects`.
        size: bytes of the compressed model as a file of `save_weights`, but for what does not grow with its words.
        bits: of a weight in that file.

    Raises:
        UserError: the network alone is as large.
    """
    width, network = word_vectors(model).shape[1], _rest_bytes(model, bits)
    free = size - network - HALF_BYTES * MOST_CODES  # of the norms
    share = free // (2 * HALF_BYTES * width)
    if share < 2:
        raise UserError(
            f"the network without word vectors has {network:,} bytes of {size:,}: compress to a larger size, to fewer "
            "bits (--bits 8), or train a smaller network (--model.hidden_size)"
        )
    centroids = min(MOST_CODES, 1 << (share.bit_length() - 1))
    free -= HALF_BYTES * centroids * width
    unknown = torch.arange(len(words), device=effect.device) == 0
    order = effect.masked_fill(unknown, torch.inf).argsort(descending=True, stable=True).tolist()
    divisors = [parts for parts in range(1, width // 2 + 1) if width % parts == 0] or [1]
    fitting = [parts for parts in divisors if _words_bytes(words, order, parts) <= free]
    coarse = [parts for parts in divisors if parts * _WIDTH <= width]
    parts = max([1, *fitting, *coarse])
    count = bisect_right(range(len(order) + 1), free, key=lambda n: _words_bytes(words, order[:n], parts)) - 1
    if count < 2:
        raise UserError(f"{size:,} bytes leave room for no word: compress to a larger size")
    return Plan(sorted(order[:count]), parts, centroids)


def _words_bytes(words: list[str], kept: list[int], parts: int) -> int:
    """Count the bytes of words, deflated, and of their codes, with one of the norm."""
    return len(deflated([words[i] for i in sorted(kept)])) + len(kept) * (parts + 1)


def compress_into(small: TextClassifier, model: TextClassifier, kept: Plan, characters: Tensor | None) -> None:
    """Load the weights of a trained model, with codes for its word vectors, into a compressed one.

    Args:
        small: made for the words of the plan, with a coded table.
        model: the trained model.
        kept: from `plan`.
        characters: row in `model` of each character of `small`, (C,); None without vectors of characters.
    """
    table = quantise(word_vectors(model)[kept.words].float(), kept.parts, kept.centroids)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("embedding.")}
    state |= {f"embedding.table.{name}": value for name, value in table.state_dict().items()}
    if model.embedding.characters is not None:
        assert characters is not None
        state["embedding.characters.weight"] = model.embedding.characters.weight.detach()[characters]
        state["embedding.word_characters"] = small.embedding.word_characters
    if model.embedding.ngrams is not None and small.embedding.ngrams is not None:  # a row is that of any vocabulary
        state["embedding.ngrams.table.weight"] = model.embedding.ngrams.table.weight.detach()
        state["embedding.ngrams.codes"] = small.embedding.ngrams.codes
    small.load_state_dict(state)


def _table_bytes(model: TextClassifier) -> int:
    table = model.embedding.table
    if isinstance(table, SmallTable):
        return table.deployed_bytes
    return FLOAT_BYTES * sum(parameter.numel() for parameter in table.parameters())


def _rest_bytes(model: TextClassifier, bits: Bits) -> int:
    """Count the bytes of all weights but the table of words."""
    of_table = {id(parameter) for parameter in model.embedding.table.parameters()}
    return sum(packed_bytes(p, bits) for p in model.parameters() if id(p) not in of_table)
