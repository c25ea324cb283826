from __future__ import annotations

import pytest
import torch

from lightning_nn.layers.product_quantisation import k_means, quantise
from tests.contract import differing


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_few_distinct_points_are_their_own_centroids() -> None:
    points = random(5, 3)[[0, 1, 1, 2, 3, 4, 0]]
    centroids, codes = k_means(points, 8)
    assert torch.equal(centroids[codes.long()], points)
    assert centroids.shape == (8, 3) and not centroids[5:].any()


def test_clusters_are_found_and_centroids_are_near_their_means() -> None:
    points = random(10, 1, 2).mul(50) + 0.01 * torch.randn(10, 40, 2, generator=torch.Generator().manual_seed(1))
    points = points.flatten(0, 1)
    centroids, codes = k_means(points, 64)
    means = torch.stack([points[codes == i].mean(0) for i in range(64) if (codes == i).any()])
    used = torch.stack([centroids[i] for i in range(64) if (codes == i).any()])
    torch.testing.assert_close(used, means, atol=0.05, rtol=0)
    assert (centroids[codes.long()] - points).norm(dim=1).max() < 0.1


def test_vectors_come_back_exactly_if_each_part_has_a_centroid() -> None:
    vectors = random(200, 8)
    vectors[3] = 0
    table = quantise(vectors, 4, 256)
    torch.testing.assert_close(table(torch.arange(200)), vectors)


@pytest.mark.seconds
def test_more_bytes_are_nearer_and_the_same_vectors_give_the_same_table() -> None:
    vectors = random(3000, 8)
    errors = []
    for parts, centroids in ((1, 4), (2, 4), (2, 64), (4, 64), (8, 256)):
        table = quantise(vectors, parts, centroids)
        errors.append(float((table(torch.arange(3000)) - vectors).detach().square().mean()))
    assert errors == sorted(errors, reverse=True), errors
    assert errors[0] < 0.9 and errors[-1] < 0.01, errors
    again = quantise(vectors, 8, 256)
    assert differing(table.state_dict(), again.state_dict()) == []
