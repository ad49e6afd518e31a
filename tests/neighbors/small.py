"""BallTree, groups and blocks so small that a table of some hundred rows makes many."""

from __future__ import annotations

from gpusmote.neighbors.cpu import ball_tree, pruned, query_block

__all__ = ["make_balls_small"]


def make_balls_small(monkeypatch):
    """For one test."""
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
