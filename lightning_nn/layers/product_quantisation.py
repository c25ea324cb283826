"""Product quantisation of trained vectors: each part of a vector becomes one of K centroids (Jegou et al. 2011).

Norms are quantised apart, after A. Joulin et al.: FastText.zip, 2016, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_nn.layers.small_embedding import MOST_CODES, CodedTable

_ROUNDS = 15  # of k-means


@torch.no_grad()
def quantise(vectors: Tensor, parts: int, centroids: int) -> CodedTable:
    """Make a table of codes whose vectors are near to others; the same vectors give the same table.

    Args:
        vectors: (V, E).
        parts: D, a divisor of E.
        centroids: K, 1 to 256; fewer vectors have one each.

    Raises:
        ValueError: see `CodedTable`.
    """
    count, size = vectors.shape
    table = CodedTable(count, size, parts, centroids, norms=True).to(vectors)
    norms = vectors.norm(dim=1, keepdim=True)
    values, table.norm_codes = k_means(norms, MOST_CODES)
    assert table.norms is not None
    table.norms.copy_(values[:, 0])
    units = (vectors / norms.clamp(min=torch.finfo(vectors.dtype).tiny)).unflatten(1, (parts, -1))
    for part in range(parts):
        values, codes = k_means(units[:, part], centroids)
        table.centroids[part] = values
        table.codes[:, part] = codes
    return table


def k_means(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find centroids of points by Lloyd's rounds, which begin with distinct points in a fixed random order.

    Args:
        points: (N, S).
        count: number of centroids, K, at most 256.

    Returns:
        Centroids (K, S), with zeros for those that no point needs, and the code of each point, uint8 (N,).
    """
    given, points = points, points.double()  # near points differ by less than float32's products
    distinct = torch.unique(points, dim=0)
    order = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(0))[:count]
    centroids = distinct[order.to(points.device)]
    codes = _nearest(points, centroids)
    for _ in range(_ROUNDS if len(distinct) > count else 0):
        sums = torch.zeros_like(centroids).index_add_(0, codes, points)
        members = codes.bincount(minlength=len(centroids))[:, None]
        centroids = torch.where(members > 0, sums / members.clamp(min=1), centroids)
        before, codes = codes, _nearest(points, centroids)
        if torch.equal(before, codes):
            break
    unused = centroids.new_zeros(count - len(centroids), points.shape[1])
    return torch.cat([centroids, unused]).to(given), codes.to(torch.uint8)


def _nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Return the index of the nearest centroid of each point, int64 (N,)."""
    lengths = centroids.square().sum(1)
    blocks = torch.split(points, 8192)  # bounds memory
    return torch.cat([(lengths - 2 * block @ centroids.T).argmin(1) for block in blocks])
