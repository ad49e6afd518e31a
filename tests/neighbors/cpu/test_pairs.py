"""Blocks of rows, each compared with each once."""

from __future__ import annotations

import pytest

from gpusmote.neighbors.cpu import pairs


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 9, 10])
def test_every_pair_of_blocks_occurs_once(n_blocks):
    met = [tuple(sorted(task)) for task in pairs._round_robin(n_blocks)]
    blocks = range(1, n_blocks)
    assert sorted(met) == [(i, j) for i in blocks for j in blocks if i <= j]
