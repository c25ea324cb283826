import numpy as np
import pytest
import torch

from lightning_nn.data.images.digits import Digits
from lightning_nn.errors import UserError


def all_of(data, split):
    source = data.sources[split]
    return source[np.arange(len(source))]


@pytest.fixture(scope="module")
def digits():
    data = Digits()
    data.prepare_once()
    return data


def test_each_digit_is_in_one_split_and_each_class_in_proportion(digits):
    sizes = {split: len(source) for split, source in digits.sources.items()}
    assert sizes == {"train": 1079, "val": 359, "test": 359}
    indices = np.concatenate([source.indices for source in digits.sources.values()])
    assert np.array_equal(np.sort(indices), np.arange(1797))
    for split, source in digits.sources.items():
        share = np.bincount(source.labels, minlength=10) / len(source)
        assert np.abs(share - 0.1).max() < 0.01, (split, share)


def test_gray_values_use_the_whole_range(digits):
    image = all_of(digits, "train").image
    assert (image.dtype, image.shape) == (torch.uint8, (1079, 1, 8, 8))
    assert image.unique().tolist() == [round(v * 255 / 16) for v in range(17)]


def test_the_labels_belong_to_the_pictures(digits):
    """Nearest mean of the training pictures tells nine digits of ten."""
    train, test = all_of(digits, "train"), all_of(digits, "test")
    means = torch.stack([train.image[train.label == k].float().mean(0).flatten() for k in range(10)])
    accuracy = (torch.cdist(test.image.float().flatten(1), means).argmin(1) == test.label).float().mean()
    assert accuracy > 0.85, accuracy


def test_two_chosen_classes_are_labelled_in_the_order_given(digits):
    data = Digits(classes=[8, 3])
    data.prepare_once()
    assert data.processor.categories == ["8", "3"]
    assert data.describe() == {"features": 64, "channels": 1, "height": 8, "width": 8, "num_classes": 2}
    for split in ("train", "val", "test"):
        whole, part = all_of(digits, split), all_of(data, split)
        for label, digit in enumerate([8, 3]):
            assert torch.equal(part.image[part.label == label], whole.image[whole.label == digit]), (split, digit)
        assert len(part.label) == int(((whole.label == 8) | (whole.label == 3)).sum())


def test_describe_needs_no_preparation_and_names_what_it_says():
    data = Digits()
    assert set(data.describe()) == set(data.describes)


def test_the_loader_gives_each_picture_once(digits):
    batches = list(digits.train_dataloader())
    assert sum(batch.size for batch in batches) == 1079
    assert sum(digits.class_counts) == 1079


@pytest.mark.parametrize("classes", [[], [3], [3, 3], [3, 10], [-1, 3]])
def test_classes_that_are_no_two_digits_are_refused(classes):
    with pytest.raises(UserError, match="at least two different digits"):
        Digits(classes=classes)
