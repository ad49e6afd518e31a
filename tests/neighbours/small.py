"""Balls, groups and blocks so small that a table of some hundred rows makes many."""

from __future__ import annotations

from gpusmote.neighbours import balls, group, pruned

__all__ = ["make_balls_small"]


def make_balls_small(monkeypatch):
    """For one test."""
    for module, name, value in (
        (balls, "LEAF", 4),
        (balls, "BRANCH", 8),
        (balls, "CELL", 32),
        (group, "BLOCK", 8),
        (group, "_FIRST", 32),
        (group, "_MOST", 64),
        (pruned, "_AREA", 1024),
    ):
        monkeypatch.setattr(module, name, value)
