"""Tables that are hard on a neighbor search, by name: what each is hard on is said beside it."""

from __future__ import annotations

import numpy as np


def _rng(seed=7):
    return np.random.default_rng(seed)


def _normal(n, d):
    return _rng().standard_normal((n, d))


AWKWARD = {
    "plain": lambda: _normal(400, 6),
    "duplicates": lambda: np.repeat(_normal(4, 3), 300, axis=0)[_rng(1).permutation(1200)],  # by the hundred
    "few duplicates": lambda: np.r_[_normal(300, 5), _normal(300, 5)[:20]],  # too few to be grouped
    "grid": lambda: _rng().integers(0, 3, (700, 4)).astype(float),  # ties and copies
    "wide grid": lambda: _rng().integers(0, 4, (400, 9)).astype(float),  # ties without copies
    "offset": lambda: _normal(400, 4) + 1e8,  # the expansion of the raw rows would cancel to nothing
    "one column x 1e4": lambda: _normal(400, 5) * [1, 1e4, 1, 1, 1],
    "one column x 1e9": lambda: _normal(400, 5) * [1, 1e9, 1, 1, 1],
    "heavy tails": lambda: np.exp(3 * _normal(500, 8)),
    "clusters far apart": lambda: np.r_[_normal(200, 5), _normal(200, 5) + 1e4],
    "sorted": lambda: np.sort(_normal(500, 6), axis=0),
    "one column": lambda: _normal(500, 1),
    "one column of integers": lambda: _rng().integers(0, 400, (500, 1)).astype(float),
    "2000 columns": lambda: _normal(60, 2000),
    "k + 1 rows": lambda: _normal(6, 3),
    "k + 4 rows": lambda: _normal(9, 3),
    "all equal": lambda: np.full((80, 3), 0.1),
    "two distinct": lambda: np.repeat([[0.1, 2.0], [3.0, 4.0]], [3, 60], axis=0),
    "signed zeros": lambda: np.where(_rng().random((60, 2)) < 0.5, 0.0, -0.0),
    "one row far away": lambda: np.r_[_normal(300, 4), np.full((1, 4), 1e12)],
    # In float32 some of these, or most, are subnormal: CuPy's own kernels take them for zero.
    **{
        f"times {scale:g}": lambda scale=scale: _normal(500, 3) * scale for scale in (1e-36, 1e-37, 3e-38, 1e-38, 1e-41)
    },
    "almost equal": lambda: 1.0 + _rng().integers(0, 3, (200, 3)) * 2.0**-52,
}
