"""Small sizes for tests of the pruned search, and the share of pairs that it compares."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.neighbors.cpu import ball_tree, pruned, query_block

__all__ = ["compared_share", "make_balls_small"]


def compared_share(search_set, count=8):
    """The share of all pairs of rows that the pruned search compares."""
    compared, scored_rows = [], query_block.QueryBlock._scored_rows

    def noted(self, *arguments):
        compared.append(len(self._places) * (self._own.stop - self._own.start))
        for found in scored_rows(self, *arguments):
            compared.append(found[2].size)
            yield found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(query_block.QueryBlock, "_scored_rows", noted)
        pruned.Pruned(search_set).candidates(np.arange(search_set.n), count)
    return sum(compared) / search_set.n**2


def make_balls_small(monkeypatch):
    """Balls, groups and blocks so small that a table of some hundred rows makes many; for one test."""
    for module, name, value in (
        (ball_tree, "LEAF", 4),
        (ball_tree, "BRANCH", 8),
        (ball_tree, "CELL", 32),
        (query_block, "BLOCK", 8),
        (query_block, "_FIRST", 32),
        (query_block, "_MOST", 64),
        (pruned, "_AREA", 1024),
    ):
        monkeypatch.setattr(module, name, value)
