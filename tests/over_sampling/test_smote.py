"""SMOTE: segments, pairs, uniformity, neighbors by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.errors import ParameterError, TooFewRowsError
from tests.reference import nearest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 17])
def test_rows_lie_between_a_row_and_one_of_its_k_nearest(real_table, k, dtype):
    X, y = real_table[0].astype(dtype), real_table[1]
    plan = SMOTE(random_state=0, k_neighbors=k).plan(X, y)
    origin, rows = plan.origin(), plan.rows()
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        allowed = members[nearest(X[members], None, k)]
        of = origin["class"] == label
        where = np.searchsorted(members, origin["base"][of])
        assert (allowed[where] == origin["neighbor"][of, None]).any(axis=1).all()
    base, neighbor = X[origin["base"]].astype(float), X[origin["neighbor"]].astype(float)
    low, high = np.minimum(base, neighbor), np.maximum(base, neighbor)
    assert ((rows >= low) & (rows <= high)).all()


def test_every_pair_is_as_likely_as_every_other_and_the_gap_uniform(overlapping):
    X, y = overlapping
    plan = SMOTE(random_state=1, sampling_strategy={1: 60 + 60_000}).plan(X, y)
    origin = plan.origin()
    pairs, counts = np.unique(np.stack([origin["base"], origin["neighbor"]]), axis=1, return_counts=True)
    assert pairs.shape[1] == 60 * 5
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.kstest(origin["gap"], "uniform").pvalue > 1e-3


def test_duplicates_are_neighbors_of_each_other():
    X = np.array([[0.0], [0.0], [9.0], [20.0], [21.0], [22.0], [23.0], [24.0]])
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    origin = SMOTE(random_state=0, k_neighbors=1).plan(X, y).origin()
    assert set(zip(origin["base"].tolist(), origin["neighbor"].tolist(), strict=True)) <= {(0, 1), (1, 0), (2, 0)}


def test_a_class_of_k_rows_is_refused_with_the_largest_k_that_fits():
    X, y = np.arange(16.0).reshape(8, 2), np.array(["rare"] * 3 + ["usual"] * 5)
    with pytest.raises(TooFewRowsError) as caught:
        SMOTE().fit_resample(X, y)
    assert str(caught.value) == (
        "Class 'rare' has 3 rows, too few for 5 neighbors of each. "
        "The largest possible k is 2; shrink_k=True uses it automatically."
    )
    X_res, y_res = SMOTE(shrink_k=True, random_state=0).fit_resample(X, y)
    assert (y_res == "rare").sum() == 5
    for k in (10**8, 10**18):  # nor is that a question of memory
        with pytest.raises(TooFewRowsError):
            SMOTE(k_neighbors=k).fit_resample(X, y)
        assert np.array_equal(X_res, SMOTE(k_neighbors=k, shrink_k=True, random_state=0).fit_resample(X, y)[0])
    sampler = SMOTE(shrink_k=True).fit(X, y)
    sampler.fit_resample(X, y)
    assert sampler.report_.notes == ["Class 'rare': 2 neighbors of each row instead of 5."]
    assert np.array_equal(X_res, SMOTE(k_neighbors=2, random_state=0).fit_resample(X, y)[0])


@pytest.mark.parametrize("shrink_k", [False, True])
def test_a_class_of_one_row_has_no_segment(shrink_k):
    with pytest.raises(TooFewRowsError, match=r"has 1 row, too few .* has no neighbors"):
        SMOTE(shrink_k=shrink_k).fit_resample(np.eye(4), [0, 0, 0, 1])


def test_k_neighbors_as_an_estimator(overlapping):
    X, y = overlapping
    estimator = NearestNeighbors(n_neighbors=6)
    ours = SMOTE(random_state=0, k_neighbors=estimator).fit_resample(X, y)[0]
    assert np.array_equal(ours, SMOTE(random_state=0).fit_resample(X, y)[0])
    assert not hasattr(estimator, "n_samples_fit_")  # cloned, not fitted

    manhattan = SMOTE(random_state=0, k_neighbors=NearestNeighbors(n_neighbors=6, metric="manhattan"))
    assert not np.array_equal(ours, manhattan.fit_resample(X, y)[0])


class Scribbler(NearestNeighbors):
    """An estimator that writes to what it is given."""

    def fit(self, X, y=None):
        X[:] = 0.0
        return super().fit(X)


TOO_MANY, SUPERVISED, SCRIBBLER = NearestNeighbors(n_neighbors=61), KNeighborsClassifier(), Scribbler(n_neighbors=6)


@pytest.mark.parametrize("estimator", [TOO_MANY, SUPERVISED, SCRIBBLER], ids=lambda estimator: type(estimator).__name__)
def test_estimators_that_cannot_serve(estimator, overlapping):
    X, y = overlapping
    before = X.copy()
    with pytest.raises(ParameterError, match=r"cannot find neighbors among (Class 1, 60|X, 460) rows: .*[^.]\. Give"):
        SMOTE(k_neighbors=estimator).fit_resample(X, y)
    if isinstance(estimator, Scribbler):
        with pytest.raises(ParameterError):
            BorderlineSMOTE(m_neighbors=estimator).fit_resample(X, y)
    assert np.array_equal(X, before)


def test_classes_do_not_depend_on_each_other(overlapping):
    """The rows of a class are the same whether or not another class is resampled too."""
    X, y = overlapping
    y = y + 2 * (X[:, 2] > 1)
    both = SMOTE(random_state=0, sampling_strategy={1: 100, 3: 100}).plan(X, y)
    one = SMOTE(random_state=0, sampling_strategy={3: 100}).plan(X, y)
    assert np.array_equal(both.rows()[both.labels() == 3], one.rows())


def test_a_longer_run_starts_with_the_shorter_one(overlapping):
    X, y = overlapping
    short = SMOTE(random_state=0, sampling_strategy={1: 100}).plan(X, y).rows()
    long = SMOTE(random_state=0, sampling_strategy={1: 400}).plan(X, y).rows()
    assert np.array_equal(long[:40], short)
