"""Random numbers by integer arithmetic alone: the same bits on every machine and in every version of NumPy.

SplitMix64 (Steele, Lea and Flood 2014) is a counter and a mixing function, so number j of stream i is computed without
the numbers before it: each picture has a stream of its own, and all streams are drawn at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Keys = NDArray[np.uint64]


def mix(numbers: Keys) -> Keys:
    """Mix the bits of each number, a bijection of 64 bits; at least one dimension, so that overflow is silent."""
    mixed = numbers ^ (numbers >> _SHIFTS[0])
    mixed *= _FACTORS[0]
    mixed ^= mixed >> _SHIFTS[1]
    mixed *= _FACTORS[1]
    mixed ^= mixed >> _SHIFTS[2]
    return mixed


def streams(seed: int, start: int, stop: int) -> Keys:
    """Return the keys of the streams `start` to `stop` - 1 of a seed, uint64 (N,); each depends on its number alone."""
    root = mix(np.array([seed % 2**64], np.uint64) + _STEP)
    return mix(root + np.arange(start, stop, dtype=np.uint64) * _STEP)


def bits(keys: Keys, count: int, purpose: int) -> Keys:
    """Draw 64 random bits `count` times from each stream, uint64 (N, count).

    Args:
        keys: (N,), from `streams`.
        count: number of draws.
        purpose: number of the use, so that more draws for one use leave the others as they are.
    """
    own = mix(keys + np.array([purpose], np.uint64) * _STEP)
    return mix(own[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP)


def uniform(keys: Keys, count: int, purpose: int) -> NDArray[np.float64]:
    """Draw `count` numbers from each stream, uniform in [0, 1), multiples of 2^-53; see `bits`."""
    return (bits(keys, count, purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53
