"""ADASYN: counts by another library's neighbors, and beside imbalanced-learn's; segments, classes without seeds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.neighbors import NearestNeighbors

from gpusmote import ADASYN, SMOTE
from gpusmote.errors import GpusmoteWarning, NoSeedsError, ParameterError, TooFewRowsError
from gpusmote.neighbors.cpu import pruned
from gpusmote.neighbors.cpu.ball_tree import BallTree
from tests.reference import nearest


def foreign_of(X, y, label, k):
    """f_i by scikit-learn's brute force, for tables in which no two rows are as far as the last neighbor."""
    members = np.flatnonzero(y == label)
    distance, found = NearestNeighbors(n_neighbors=k + 2, algorithm="brute").fit(X).kneighbors(X[members])
    assert (distance[:, k] < distance[:, k + 1]).all()
    assert np.array_equal(found[:, 0], members)
    return (y[found[:, 1 : k + 1]] != label).sum(axis=1)


def shared(n, foreign):
    """The docstring's rule, row after row."""
    exact = [Fraction(n * int(f), int(foreign.sum())) for f in foreign]
    counts = [int(share) for share in exact]
    for i in sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))[: n - sum(counts)]:
        counts[i] += 1
    return counts


def counts_of(plan, y, label):
    """Rows from each member of the class, by where rows come from."""
    origin = plan.origin()
    members = np.flatnonzero(y == label)
    return np.bincount(np.searchsorted(members, origin["base"][origin["class"] == label]), minlength=len(members))


@pytest.fixture(params=["breast_cancer", "wine", "digits"])
def real(request):
    """Real tables; the many equal distances of digits, whose pixels are whole numbers, are made unequal."""
    X, y = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}[request.param](
        return_X_y=True
    )
    if request.param == "digits":
        X = X + np.random.default_rng(0).normal(scale=1.0, size=X.shape)
    keep = (y != 1) | (np.cumsum(y == 1) <= 25)
    return X[keep], y[keep]


@pytest.mark.filterwarnings("ignore:.*finds no seed:gpusmote.errors.GpusmoteWarning")
@pytest.mark.parametrize("k", [1, 5, 12])
def test_counts_are_those_of_the_rule_on_real_tables(real, k):
    X, y = real
    plan = ADASYN(random_state=0, n_neighbors=k, no_seeds="skip").plan(X, y)
    assert any(plan.counts.values())
    for label, n in plan.counts.items():
        if n:
            assert counts_of(plan, y, label).tolist() == shared(n, foreign_of(X, y, label, k))


def test_counts_are_within_imbalanced_learns_rounding(real):
    """How many rows it makes of each class says that it rounds so; each number is within 1 of ours."""
    imblearn = pytest.importorskip("imblearn.over_sampling", reason="imbalanced-learn is not installed")
    X, y = real
    plan = ADASYN(random_state=0).plan(X, y)
    for label, n in plan.counts.items():
        if not n:
            continue
        ours, share = counts_of(plan, y, label), foreign_of(X, y, label, 5) / 5
        rounded = np.rint(share / share.sum() * n).astype(int)
        assert np.abs(ours - rounded).max() <= 1
        assert ours.sum() == n
        theirs = imblearn.ADASYN(random_state=0, sampling_strategy={label: int((y == label).sum()) + n})
        if rounded.any():
            assert len(theirs.fit_resample(X, y)[0]) - len(X) == rounded.sum()
        else:
            with pytest.raises(ValueError, match="No samples will be generated"):
                theirs.fit_resample(X, y)


@st.composite
def tables(draw):
    """On a grid, so that ties and copies abound; two to four classes."""
    sizes = draw(st.lists(st.integers(4, 30), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rng.integers(0, draw(st.integers(2, 9)), (len(y), draw(st.integers(1, 3)))).astype(float), y


@given(tables(), st.integers(1, 3), st.integers(1, 500))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_counts_add_up_and_are_within_1_of_the_share(table, k, more):
    X, y = table
    wanted = {label: int(number) + more for label, number in enumerate(np.bincount(y))}
    foreign = {label: (y[nearest(X, np.flatnonzero(y == label), k)] != label).sum(axis=1) for label in wanted}
    sampler = ADASYN(random_state=0, n_neighbors=k, sampling_strategy=wanted, no_seeds="raise")
    if not all(f.any() for f in foreign.values()):
        with pytest.raises(NoSeedsError):
            sampler.plan(X, y)
        return
    plan = sampler.plan(X, y)
    for label, f in foreign.items():
        counts = counts_of(plan, y, label)
        assert counts.tolist() == shared(more, f)
        assert counts.sum() == more
        assert all(abs(Fraction(more * int(a), int(f.sum())) - int(g)) < 1 for a, g in zip(f, counts, strict=True))


def test_rows_lie_towards_the_nearest_of_the_class_each_as_likely(overlapping):
    X, y = overlapping
    origin = ADASYN(random_state=1, sampling_strategy={1: 60 + 60_000}).plan(X, y).origin()
    members = np.flatnonzero(y == 1)
    assert (np.diff(origin["base"]) >= 0).all()  # seed after seed
    allowed = members[nearest(X[members], None, 5)][np.searchsorted(members, origin["base"])]
    which = allowed == origin["neighbor"][:, None]
    assert which.any(axis=1).all()
    assert stats.chisquare(np.bincount(which.argmax(axis=1))).pvalue > 1e-3
    assert stats.kstest(origin["gap"], "uniform").pvalue > 1e-3


def test_neighbors_by_an_estimator(overlapping):
    X, y = overlapping
    expected = ADASYN(random_state=0, n_neighbors=4).fit_resample(X, y)[0]
    found = ADASYN(random_state=0, n_neighbors=NearestNeighbors(n_neighbors=5)).fit_resample(X, y)[0]
    assert np.array_equal(found, expected)
    with pytest.raises(ParameterError, match="'n_neighbors' parameter of ADASYN must be"):
        ADASYN(n_neighbors=0).fit_resample(X, y)


def test_a_class_of_n_neighbors_rows_is_refused_or_made_with_fewer(overlapping):
    X, y = overlapping
    few = np.flatnonzero(y == 1)[:5]
    X, y = np.concatenate([X[few], X[y == 0]]), np.repeat([1, 0], [5, 400])
    with pytest.raises(
        TooFewRowsError, match=r"Class 1 has 5 rows, too few for 5 neighbors of each\. The largest possible k"
    ):
        ADASYN().fit_resample(X, y)
    plan = ADASYN(shrink_k=True, random_state=0).plan(X, y)
    assert plan.counts == {0: 0, 1: 395}
    assert counts_of(plan, y, 1).tolist() == shared(395, foreign_of(X, y, 1, 5))  # among all rows there are enough
    for lone in (1, 2):
        keep = np.arange(len(y)) >= 5 - lone
        sampler = ADASYN(shrink_k=True, random_state=0)
        if lone == 1:
            with pytest.raises(TooFewRowsError, match="has 1 row, too few"):
                sampler.plan(X[keep], y[keep])
        else:
            assert sampler.plan(X[keep], y[keep]).counts == {0: 0, 1: 398}


@pytest.fixture
def apart():
    """Two classes far from each other: no row has a neighbor of the other."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), np.repeat([0, 1], [60, 20])
    X[y == 1] += 100.0
    return X, y


@pytest.mark.parametrize("bit_generator", ["philox", "mt19937"])
def test_without_seeds_the_count_is_kept_and_a_warning_says_how(apart, bit_generator):
    X, y = apart
    sampler = ADASYN(random_state=0, bit_generator=bit_generator, n_neighbors=3)
    with pytest.warns(GpusmoteWarning, match="ADASYN finds no seed in class 1 .* all its rows are used as seeds"):
        X_res, y_res = sampler.fit_resample(X, y)
    smote = SMOTE(random_state=0, bit_generator=bit_generator, k_neighbors=3)
    assert np.array_equal(X_res, smote.fit_resample(X, y)[0])
    assert np.bincount(y_res).tolist() == [60, 60]


def test_without_seeds_raise_or_skip_by_choice(apart):
    X, y = apart
    with pytest.raises(NoSeedsError, match=r'no_seeds="smote" uses all its rows'):
        ADASYN(no_seeds="raise").fit_resample(X, y)
    with pytest.warns(GpusmoteWarning, match="no rows are made for it"):
        X_res, y_res = ADASYN(no_seeds="skip").fit_resample(X, y)
    assert X_res.tobytes() == X.tobytes()
    assert np.array_equal(y_res, y)


def test_fewer_rows_than_seeds_start_from_the_nearest_to_the_others(overlapping):
    X, y = overlapping
    plan = ADASYN(random_state=0, sampling_strategy={1: 60 + 7}).plan(X, y)
    assert counts_of(plan, y, 1).tolist() == shared(7, foreign_of(X, y, 1, 5))
    assert len(plan.rows()) == 7


def test_more_rows_than_are_ever_made_are_shared_out_exactly(overlapping):
    """A plan makes what is asked of it: a float would lose rows, and 5 n is more than 64 bits hold."""
    X, y = overlapping
    n = 2**62 + 1
    plan = ADASYN(random_state=0, sampling_strategy={1: 60 + n}).plan(X, y)
    (part,) = plan._parts
    ends = plan._backend.to_host(part.ends)
    counts = np.diff(ends, prepend=0)
    expected = np.array(shared(n, foreign_of(X, y, 1, 5)))
    assert ends[-1] == n
    assert counts.tolist() == expected[expected > 0].tolist()
    assert plan.rows(n - 3, n).shape == (3, 5)


def test_two_classes_share_the_balls_of_all_rows(monkeypatch):
    """How many rows start from each is decided among all rows, for each class: one tree over X serves both."""
    made = []
    monkeypatch.setattr(pruned, "BallTree", lambda pool: made.append(pool.n) or BallTree(pool))
    rng = np.random.default_rng(0)
    X = np.sin(rng.uniform(-1, 1, (17_000, 3)) @ rng.standard_normal((3, 18)))
    y = np.repeat([0, 1, 2], [12_000, 2_500, 2_500])
    rng.shuffle(y)
    sampler = ADASYN(random_state=0, device="cpu")
    sampler.fit_resample(X, y)
    assert made == [len(X)]
    assert sum(why.startswith("pruned: 2,500 queries among 17,000 rows") for why in sampler.report_.search.why) >= 1
