"""Every row lies in its balls, whatever the table; nearness of places is only good for speed."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.backends import Backend
from gpusmote.neighbors.cpu.ball_tree import BRANCH, CELL, LEAF, BallTree
from gpusmote.neighbors.search_set import SearchSet
from tests.neighbors.tables import AWKWARD

LEVELS = {"leaves": LEAF, "branches": BRANCH, "cells": CELL}


def balls_of(X):
    search_set = SearchSet(Backend(), np.ascontiguousarray(X))
    return search_set, BallTree(search_set)


def larger(name):
    """A table of the kind with several thousand rows."""
    X = AWKWARD[name]()
    noise = np.random.default_rng(5).standard_normal((3000, X.shape[1])) * np.abs(X).max(axis=0) / 1000
    return X[np.arange(3000) % len(X)] + np.where(np.arange(3000)[:, None] < len(X), 0, noise)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("make", [lambda name: AWKWARD[name](), larger], ids=["as it is", "larger"])
def test_balls_hold_their_rows(make, name, dtype):
    search_set, balls = balls_of(make(name).astype(dtype))
    np.testing.assert_array_equal(np.sort(balls.order), np.arange(search_set.n))
    np.testing.assert_array_equal(balls.order[balls.place], np.arange(search_set.n))
    exact = np.longdouble
    for level_name, most in LEVELS.items():
        level = getattr(balls, level_name)
        assert level.starts[0] == 0
        assert level.starts[-1] == search_set.n
        size = np.diff(level.starts)
        assert size.min() >= 1
        assert size.max() <= most
        center = np.repeat(level.centers, size, axis=0)
        away = (search_set.values[balls.order].astype(exact) - center.astype(exact)) * exact(search_set.unit)
        distance = np.sqrt((away * away).sum(axis=1))
        assert (distance <= np.repeat(level.radii, size).astype(exact)).all()


def test_levels_lie_within_each_other():
    _, balls = balls_of(np.random.default_rng(0).standard_normal((5000, 6)))
    assert set(balls.cells.starts) <= set(balls.branches.starts) <= set(balls.leaves.starts)


def test_clusters_are_not_cut_and_rows_far_away_are_set_apart():
    """Two clusters, one of them a thousandth of the other's size, and five rows far away in different directions."""
    rng = np.random.default_rng(0)
    X = np.r_[rng.standard_normal((4000, 5)), 50 + rng.standard_normal((4000, 5)) / 1000, 1e6 * np.eye(5)]
    X = X[rng.permutation(len(X))]
    search_set, balls = balls_of(X)
    kind = np.where(np.abs(X).max(axis=1) > 1e5, 2, np.where(X[:, 0] > 40, 1, 0))[balls.order]
    for level in (balls.leaves, balls.branches, balls.cells):
        low, high = np.minimum.reduceat(kind, level.starts[:-1]), np.maximum.reduceat(kind, level.starts[:-1])
        assert (low == high).all()
    dense = np.minimum.reduceat(kind, balls.leaves.starts[:-1]) == 1
    assert balls.leaves.radii[dense].max() / search_set.unit < 0.01


@pytest.mark.parametrize("n", [1, 2, LEAF, LEAF + 1, CELL, CELL + 1, 20_000])
def test_any_number_of_rows(n):
    _, balls = balls_of(np.random.default_rng(n).standard_normal((n, 3)))
    assert balls.leaves.starts[-1] == n
    np.testing.assert_array_equal(np.sort(balls.order), np.arange(n))


def test_equal_rows_are_cut_anywhere():
    _, balls = balls_of(np.zeros((5000, 3)))
    assert np.diff(balls.leaves.starts).max() <= LEAF
    assert balls.leaves.radii.max() < 1e-100


def test_steps_of_all_sizes_take_no_more_cuts_than_bounded():
    """Each cut at two parts would set apart one row only; patience ends in halving."""
    _, balls = balls_of((2.0 ** -np.arange(1000.0))[:, None] * np.ones(2))
    assert np.diff(balls.leaves.starts).max() <= LEAF


def test_the_same_table_gives_the_same_balls(monkeypatch):
    X = np.random.default_rng(0).standard_normal((20_000, 8))
    first = balls_of(X)[1]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.testing.assert_array_equal(first.order, balls_of(X)[1].order)
