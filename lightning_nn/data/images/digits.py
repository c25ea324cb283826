"""Handwritten digits, included in scikit-learn: nothing to download."""

from __future__ import annotations

import numpy as np

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.labeled_images import ImageSet, LabeledImages
from lightning_nn.data.module import BatchSize
from lightning_nn.data.splits import stratified_split
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError

_SPLIT_SEED = 0


class Digits(LabeledImages):
    """1,797 handwritten digits of 8x8 pixels, white on black: scikit-learn's, of the UCI repository.

    The splits are fixed: 60% train, 20% val, 20% test of each class.

    Args:
        classes: the digits to classify, in the order of their labels, such as [3, 8]; null for all ten.
        batch_size: images in a batch; 1 is gradient descent on single images, "all" on the whole set.
        balanced: train on each class as often as on the largest one, repeating images.
        augment: random changes of training images.

    Example:
        >>> data = Digits(classes=[3, 8], batch_size=16)
        >>> data.describe()["num_classes"]
        2
    """

    form = ImageForm(1, 8, 8)

    def __init__(
        self,
        classes: list[int] | None = None,
        batch_size: BatchSize = 64,
        balanced: bool = False,
        augment: Augment = NO_AUGMENT,
    ) -> None:
        self.classes = list(range(10)) if classes is None else classes
        if len(set(self.classes)) < max(2, len(self.classes)) or not set(self.classes) <= set(range(10)):
            raise UserError(f"classes is {classes}; it must be at least two different digits of 0 to 9, such as [3, 8]")
        super().__init__(batch_size, balanced, augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Load the digits from scikit-learn and split them."""
        from sklearn.datasets import load_digits

        values, digits = load_digits(return_X_y=True)  # 0 to 16
        train, test = stratified_split(digits, 0.2, _SPLIT_SEED)
        stay, chosen = stratified_split(digits[train], 0.25, _SPLIT_SEED)
        images = np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, *self.form.shape)
        label_of = np.full(10, -1, np.int64)
        label_of[self.classes] = np.arange(len(self.classes))
        labels = label_of[digits]
        splits = {"train": train[stay], "val": train[chosen], "test": test}
        indices = {split: members[labels[members] >= 0] for split, members in splits.items()}
        self.show(ImageSet(images, labels, indices, [str(digit) for digit in self.classes], [], [*SPLITS]))
