"""Every pair of blocks is compared."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.neighbors.cpu import pairs
from gpusmote.neighbors.search_set import SearchSet


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 9, 10])
def test_every_pair_of_blocks_is_compared_once(monkeypatch, n_blocks):
    monkeypatch.setattr(pairs, "_SIDE", 8)
    compared, scores = [], pairs.Pairs._scores

    def note(self, i, j, side):
        compared.append(tuple(sorted((i, j))))
        return scores(self, i, j, side)

    monkeypatch.setattr(pairs.Pairs, "_scores", note)
    n = 8 * n_blocks - 1
    search_set = SearchSet(Backend(), np.random.default_rng(0).standard_normal((n, 3)))
    pairs.Pairs(search_set).candidates(np.arange(n), 4)
    assert sorted(compared) == [(i, j) for i in range(n_blocks) for j in range(i, n_blocks)]
