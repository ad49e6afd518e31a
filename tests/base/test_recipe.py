"""What a recipe can ask for beyond what the samplers do: counts of each seed and a reach of each pair, together."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote.base.recipe import Recipe
from gpusmote.over_sampling import SMOTE
from tests.reference import nearest


class Counted(SMOTE):
    """Every second row of the class, as often as its place says, between a quarter and half of the way."""

    def _recipe(self, task):
        seeds = task.rows[::2]
        counts = np.arange(len(seeds))
        counts[-1] += task.n_new - counts.sum()

        def reach(neighbors):
            return np.full(neighbors.shape, 0.25), np.full(neighbors.shape, 0.5)

        return Recipe(seeds, task.own, self.k_neighbors, counts, reach)


@pytest.mark.parametrize("bit_generator", ["philox", "mt19937"])
def test_counts_and_reach(overlapping, bit_generator):
    X, y = overlapping
    wanted = {1: 60 + 1000}
    plan = Counted(random_state=0, bit_generator=bit_generator, sampling_strategy=wanted).plan(X, y)
    origin = plan.origin()
    members = np.flatnonzero(y == 1)
    base, counts = np.unique(origin["base"], return_counts=True)
    assert np.array_equal(base, members[2::2])  # the first seed has count 0
    assert counts.tolist()[:-1] == list(range(1, 29))
    assert counts.sum() == 1000
    assert (np.diff(origin["base"]) >= 0).all()
    allowed = members[nearest(X[members], None, 5)][np.searchsorted(members, origin["base"])]
    assert (allowed == origin["neighbor"][:, None]).any(axis=1).all()
    assert ((origin["gap"] >= 0.25) & (origin["gap"] < 0.5)).all()
    assert np.array_equal(plan.rows(100, 700), plan.rows()[100:700])
    scattered = np.concatenate([X_part for X_part, _ in plan.batches(333, shuffle=False)])
    assert np.array_equal(scattered[len(X) :], plan.rows())
