"""Borderline-SMOTE: the danger rule by brute force, the reach of each kind, classes without seeds."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.errors import GpusmoteWarning, NoSeedsError
from gpusmote.neighbors.cpu import pruned
from gpusmote.neighbors.cpu.ball_tree import BallTree
from tests.reference import nearest


def in_danger(X, y, label, m):
    """Positions of the rows of which at least half, but not all, of the m nearest are of other classes."""
    members = np.flatnonzero(y == label)
    foreign = (y[nearest(X, members, m)] != label).sum(axis=1)
    return members[(foreign >= m / 2) & (foreign < m)]


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
@pytest.mark.parametrize("m", [1, 4, 5, 10])
def test_rows_start_from_the_rows_in_danger(overlapping, kind, m):
    X, y = overlapping
    danger = in_danger(X, y, 1, m)
    sampler = BorderlineSMOTE(random_state=0, kind=kind, m_neighbors=m, sampling_strategy={1: 60 + 5_000})
    if not len(danger):
        assert m == 1  # one neighbor is of the class, or all are of others
        with pytest.raises(NoSeedsError):
            sampler.set_params(no_seeds="raise").plan(X, y)
        return
    origin = sampler.plan(X, y).origin()
    assert np.array_equal(np.unique(origin["base"]), danger)


def test_kind_1_stays_within_the_class(overlapping):
    X, y = overlapping
    origin = BorderlineSMOTE(random_state=0).plan(X, y).origin()
    members = np.flatnonzero(y == 1)
    allowed = dict(zip(members, members[nearest(X[members], None, 5)], strict=True))
    assert all(row["neighbor"] in allowed[row["base"]] for row in origin)


def test_kind_2_goes_half_the_way_to_other_classes(overlapping):
    X, y = overlapping
    plan = BorderlineSMOTE(random_state=0, kind="borderline-2", sampling_strategy={1: 20_060}).plan(X, y)
    origin = plan.origin()
    allowed = nearest(X, origin["base"][:500], 5)
    assert (allowed == origin["neighbor"][:500, None]).any(axis=1).all()
    foreign = y[origin["neighbor"]] != 1
    assert 0.1 < foreign.mean() < 0.9
    assert 0.49 < origin["gap"][foreign].max() < 0.5
    assert origin["gap"][~foreign].max() > 0.99


@pytest.fixture
def apart():
    """Two classes far from each other: no row is in danger."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = np.repeat([0, 1], [60, 20])
    X[y == 1] += 100.0
    return X, y


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
def test_without_seeds_the_count_is_kept_and_a_warning_says_how(apart, kind):
    X, y = apart
    sampler = BorderlineSMOTE(random_state=0, kind=kind)
    with pytest.warns(GpusmoteWarning, match="finds no seed in class 1 .* all its rows are used as seeds") as caught:
        X_res, y_res = sampler.fit_resample(X, y)
    assert caught[0].filename == __file__
    assert np.array_equal(X_res, SMOTE(random_state=0).fit_resample(X, y)[0])
    assert np.bincount(y_res).tolist() == [60, 60]
    assert sampler.report_.notes == [
        "BorderlineSMOTE finds no seed in class 1 (20 rows): all its rows are used as seeds, as in SMOTE."
    ]


def test_without_seeds_raise_or_skip_by_choice(apart):
    X, y = apart
    with pytest.raises(NoSeedsError, match=r'no_seeds="smote" uses all its rows'):
        BorderlineSMOTE(no_seeds="raise").fit_resample(X, y)
    with pytest.warns(GpusmoteWarning, match="no rows are made for it"):
        X_res, y_res = BorderlineSMOTE(no_seeds="skip").fit_resample(X, y)
    assert X_res.tobytes() == X.tobytes()
    assert np.array_equal(y_res, y)


def test_two_classes_share_the_balls_of_all_rows(monkeypatch):
    """Who is in danger, and whom a seed of borderline-2 is near: one tree over X serves both, of both classes."""
    made = []
    monkeypatch.setattr(pruned, "BallTree", lambda pool: made.append(pool.n) or BallTree(pool))
    rng = np.random.default_rng(0)
    X = np.sin(rng.uniform(-1, 1, (17_000, 3)) @ rng.standard_normal((3, 18)))
    y = np.repeat([0, 1, 2], [12_000, 2_500, 2_500])
    rng.shuffle(y)
    sampler = BorderlineSMOTE(random_state=0, kind="borderline-2", device="cpu")
    sampler.fit_resample(X, y)
    assert made == [len(X)]
    assert sum(why.startswith("pruned: 2,500 queries among 17,000 rows") for why in sampler.report_.search.why) >= 1
