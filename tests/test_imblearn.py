"""imbalanced-learn's own checks, and its rows for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")

from imblearn.over_sampling import ADASYN as ImblearnADASYN
from imblearn.over_sampling import SMOTE as ImblearnSMOTE
from imblearn.over_sampling import BorderlineSMOTE as ImblearnBorderline
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import NearestNeighbors

import gpusmote
from gpusmote import ADASYN, SMOTE, BorderlineSMOTE

pytestmark = pytest.mark.filterwarnings("ignore:.*finds no seed:gpusmote.errors.GpusmoteWarning")


# The decorator hands pytest a generator, which pytest is about to stop taking; the checks and their names are the same.
with_checks = parametrize_with_checks([SMOTE(random_state=0), BorderlineSMOTE(random_state=0), ADASYN(random_state=0)])


@pytest.mark.parametrize(("estimator", "check"), list(with_checks.args[1]), ids=with_checks.kwargs["ids"])
def test_estimator_checks(estimator, check):
    check(estimator)


def rows_of(sampler, X, y):
    return sampler.fit_resample(X, y)[0]


@pytest.mark.parametrize("random_state", [0, 42])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_diabetes])
def test_mt19937_gives_imbalanced_learns_rows_on_real_tables(load, random_state):
    """These tables have no equal distances, over which the two would choose differently."""
    X, y = load(return_X_y=True)
    y = y > 200 if load is load_diabetes else y
    keep = (y == 0) | (np.arange(len(y)) % 3 == 0)  # class 0 outnumbers the others
    X, y = X[keep], y[keep]
    ours = rows_of(SMOTE(random_state=random_state, bit_generator="mt19937"), X, y)
    assert np.array_equal(ours, rows_of(ImblearnSMOTE(random_state=random_state), X, y))


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
def test_mt19937_gives_imbalanced_learns_borderline_rows(kind, overlapping):
    X, y = overlapping
    with gpusmote.config_context(bit_generator="mt19937"):
        ours = rows_of(BorderlineSMOTE(random_state=7, kind=kind), X, y)
    theirs = rows_of(ImblearnBorderline(random_state=7, kind=kind), X, y)
    if kind == "borderline-1":
        assert np.array_equal(ours, theirs)
    else:  # imbalanced-learn rounds half the difference before it multiplies by the step
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * np.finfo(float).eps * np.abs(X).max())


def adds_up(X, y, label, n):
    """Whether the nearest whole numbers to ADASYN's shares of n add up to it, none of which is half way between two."""
    neighbors = NearestNeighbors(n_neighbors=6).fit(X).kneighbors(X[y == label], return_distance=False)[:, 1:]
    foreign = (y[neighbors] != label).sum(axis=1)
    halves = 2 * n * foreign % (2 * foreign.sum()) == foreign.sum()
    return np.rint(n * foreign / foreign.sum()).sum() == n and not halves.any()


@pytest.mark.parametrize("make", [int, np.random.RandomState])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_mt19937_gives_imbalanced_learns_adasyn_rows_where_its_numbers_add_up(load, make):
    """Wine has two classes that get rows: one generator goes on from the first to the second."""
    X, y = load(return_X_y=True)
    keep = (y == 0) | (np.arange(len(y)) % 3 == 0)
    X, y = X[keep], y[keep]
    have = np.bincount(y)[1:]
    sizes = [[n for n in range(20, 120) if adds_up(X, y, label, n)] for label in range(1, 1 + len(have))]
    assert min(map(len, sizes)) >= 5
    for more in zip(*sizes, strict=False):
        wanted = {label: int(n) for label, n in enumerate(have + more, 1)}
        ours = ADASYN(random_state=make(4), sampling_strategy=wanted, bit_generator="mt19937")
        theirs = ImblearnADASYN(random_state=make(4), sampling_strategy=wanted)
        assert np.array_equal(rows_of(ours, X, y), rows_of(theirs, X, y))


def test_mt19937_with_a_random_state_goes_on_where_it_stopped(overlapping):
    X, y = overlapping
    y = y + 2 * (X[:, 2] > 1)
    ours = rows_of(SMOTE(random_state=np.random.RandomState(1), bit_generator="mt19937"), X, y)
    assert np.array_equal(ours, rows_of(ImblearnSMOTE(random_state=np.random.RandomState(1)), X, y))


def test_mt19937_in_float32_is_within_one_rounding(overlapping):
    """imbalanced-learn rounds the difference to float32 first; gpusmote rounds once, at the end."""
    X, y = overlapping[0].astype(np.float32), overlapping[1]
    ours = rows_of(SMOTE(random_state=0, bit_generator="mt19937"), X, y)
    theirs = rows_of(ImblearnSMOTE(random_state=0), X, y)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=np.finfo(np.float32).eps * np.abs(X).max())


def test_in_imbalanced_learns_pipeline(overlapping):
    X, y = overlapping
    pipeline = make_pipeline(SMOTE(random_state=0), LogisticRegression())
    assert cross_val_score(pipeline, X, y, scoring="average_precision").mean() > 0.3
    pipeline.set_params(smote__k_neighbors=3).fit(X, y)
    assert pipeline[0].sampling_strategy_ == {1: 340}


def test_in_a_pipeline_with_metadata_routing(overlapping):
    import sklearn

    X, y = overlapping
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(SMOTE(random_state=0), classifier).fit(X, y)
        assert "fit_resample" in str(pipeline.get_metadata_routing())
    assert pipeline.predict(X).shape == y.shape
