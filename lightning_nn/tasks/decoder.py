"""Interface of decoders, which write captions word by word, and captions as they read them."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import CaptionBatch
from lightning_nn.layers.ragged import segment_ids, segment_starts
from lightning_nn.layers.recurrent import State


class Decoder(nn.Module):
    """Network that tells the next word from the features of an image and the words before.

    Single steps and whole sequences give the same logits.
    """

    @abstractmethod
    def look(self, features: Tensor) -> Tensor:
        """Compute what the decoder sees of pictures, (B, P), from features (B, F)."""

    @abstractmethod
    def begin(self, picture: Tensor) -> State:
        """Compute the state before the first word, (B, ...), from what `look` returned, (B, P)."""

    def start(self, features: Tensor) -> State:
        """Compute the state before the first word, (B, ...), from features (B, F)."""
        return self.begin(self.look(features))

    @abstractmethod
    def step(self, state: State, words: Tensor) -> tuple[Tensor, State]:
        """Compute the logits of the next word, (N, V), and the state, after the words (N,)."""

    @abstractmethod
    def forward(self, state: State, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute the logits of the word after each word.

        Args:
            state: before the first word of each of N sequences, from `start`.
            words: int64 (W,), of all sequences, one after another.
            lengths: int64 (N,), words of each.

        Returns:
            (W, V).
        """


class Rows(NamedTuple):
    """Captions as sequences of words to read and words to predict.

    Attributes:
        inputs: int64 (W + N,), the start and the words of each caption.
        targets: int64 (W + N,), the words and the end of each caption.
        lengths: int64 (N,), number of rows of each caption.
        image_index: int64 (N,), index of each caption's image.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    image_index: Tensor


def some_captions(batch: CaptionBatch, count: int) -> CaptionBatch:
    """Choose `count` captions of each image at random, or all of an image that has fewer."""
    assert batch.words is not None and batch.length is not None and batch.image_index is not None
    image, length = batch.image_index, batch.length
    order = torch.rand(len(image), device=image.device).argsort()
    order = order[image[order].argsort(stable=True)]  # at random in each image
    captions = image.bincount(minlength=batch.size)
    place = torch.arange(len(image), device=image.device) - segment_starts(captions)[image]
    kept = torch.zeros_like(image, dtype=torch.bool).index_copy(0, order, place < count)
    words = batch.words[kept[segment_ids(length, len(batch.words))]]
    return batch._replace(words=words, length=length[kept], image_index=image[kept])


def references(batch: CaptionBatch) -> list[list[list[int]]]:
    """Group the word ids of the captions of a batch by image."""
    assert batch.words is not None and batch.length is not None and batch.image_index is not None
    found: list[list[list[int]]] = [[] for _ in range(batch.size)]
    captions = torch.split(batch.words.cpu(), batch.length.tolist())
    for image, words in zip(batch.image_index.tolist(), captions, strict=True):
        found[image].append(words.tolist())
    return found
