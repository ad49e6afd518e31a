"""What a sampler tells of its rows after a call: how many are new, where they come from, and what they inherit."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from gpusmote import ADASYN, SMOTE, BorderlineSMOTE
from gpusmote.errors import InputError, ParameterError
from gpusmote.random_stream import class_key, entropy_words, seed_of

SAMPLERS = [SMOTE, BorderlineSMOTE, ADASYN]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(200, 3)), rng.normal(0.8, size=(60, 3)), rng.normal(1.0, size=(30, 3))])
    return X, np.repeat(["c", "a", "b"], [200, 60, 30])


@pytest.mark.parametrize("bit_generator", ["philox", "mt19937"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_origins_make_the_rows_again(table, sampler, bit_generator):
    X, y = table
    sampler = sampler(random_state=0, bit_generator=bit_generator)
    rows, labels = sampler.fit_resample(X, y)
    origins = sampler.sample_origins_
    assert origins.dtype.names == ("class", "base", "neighbor", "gap")
    assert len(origins) == sampler.n_synthetic_ == len(rows) - len(X)
    base, neighbor = X[origins["base"]], X[origins["neighbor"]]
    np.testing.assert_array_equal(base + origins["gap"][:, None] * (neighbor - base), rows[len(X) :])
    np.testing.assert_array_equal(origins["class"], labels[len(X) :])
    assert sampler.sample_origins_ is origins  # computed once
    np.testing.assert_array_equal(sampler.plan(X, y).origin(), origins)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_origins_go_with_a_pickled_sampler_but_not_with_a_clone(table, sampler):
    X, y = table
    sampler = sampler(random_state=0)
    sampler.fit_resample(X, y)
    again = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(again.sample_origins_, sampler.sample_origins_)
    with pytest.raises(NotFittedError, match="call fit_resample first"):
        clone(sampler).sample_origins_  # noqa: B018


def test_origins_are_those_of_the_last_call(table):
    X, y = table
    sampler = SMOTE(random_state=0)
    sampler.fit_resample(X, y, weight=np.ones(len(X)))
    sampler.fit(X, y)
    assert not hasattr(sampler, "sample_origins_")
    assert not hasattr(sampler, "n_synthetic_")
    assert not hasattr(sampler, "metadata_")


def test_origins_hold_no_rows(table):
    X, y = table
    sampler = SMOTE(random_state=0).fit(X, y)
    sampler.fit_resample(np.tile(X, (1, 4000)), y)
    assert len(pickle.dumps(sampler)) < 60_000 < X.nbytes * 4000


def _frame(values):
    return pd.DataFrame({"u": values, "v": np.arange(len(values)).astype(str)}, index=range(7, 7 + len(values)))


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (np.asarray, np.asarray),
        (list, np.array),
        (tuple, np.asarray),
        (lambda values: np.stack([values, -values], axis=1), lambda values: values[:, 0]),
        (lambda values: pd.Series(values, index=range(7, 7 + len(values)), name="w"), np.asarray),
        (_frame, lambda frame: frame["u"].to_numpy()),
        (lambda values: pd.Index(values), np.asarray),
        (pl.Series, np.asarray),
        (lambda values: pl.DataFrame({"u": values}), lambda frame: frame["u"].to_numpy()),
        (pa.array, np.asarray),
        (lambda values: pa.table({"u": values}), lambda table: table["u"].to_numpy()),
        (lambda values: scipy.sparse.csr_array(values[:, None]), lambda values: values.toarray()[:, 0]),
    ],
    ids=["ndarray", "list", "tuple", "2d", "Series", "DataFrame", "Index", "pl.Series", "pl.DataFrame", "pa.Array",
         "pa.Table", "csr"],
)  # fmt: skip
def test_a_synthetic_row_inherits_the_metadata_of_its_base(table, wrap, unwrap):
    X, y = table
    weight = np.random.default_rng(1).random(len(X))
    given = wrap(weight)
    sampler = SMOTE(random_state=0)
    sampler.fit_resample(X, y, sample_weight=given, nothing=None)
    found = sampler.metadata_["sample_weight"]
    if not isinstance(given, (tuple, pd.Index)):  # which NumPy reads
        assert type(found) is type(given)
    expected = np.concatenate([weight, weight[sampler.sample_origins_["base"]]])
    np.testing.assert_array_equal(unwrap(found), expected)
    assert sampler.metadata_["nothing"] is None
    if isinstance(found, (pd.Series, pd.DataFrame)):
        assert found.index.equals(pd.RangeIndex(len(expected)))


@pytest.mark.parametrize(
    ("values", "found"), [(3, "is 3"), ("abc", "is 'abc'"), ([1, 2], "has length 2"), (np.float64(1), "is np.float64")]
)
def test_metadata_of_another_length_is_refused_before_the_search(table, values, found):
    X, y = table
    sampler = SMOTE()
    with pytest.raises(InputError, match=rf"k_neighbors {found}.*, and X has 290 rows.*constructor"):
        sampler.fit_resample(X, y, k_neighbors=values)
    assert not hasattr(sampler, "report_")


@pytest.mark.parametrize("make", [lambda: None, lambda: 5, lambda: np.random.default_rng(3), np.random.RandomState])
def test_the_reported_seed_makes_the_rows_again(table, make):
    X, y = table
    sampler = SMOTE(random_state=make())
    rows, _ = sampler.fit_resample(X, y)
    again, _ = SMOTE(random_state=sampler.report_.seed).fit_resample(X, y)
    np.testing.assert_array_equal(again, rows)


def test_a_seed_from_the_system_is_a_number_that_json_keeps(table):
    seeds = {seed_of(entropy_words(None)) for _ in range(20)}
    assert len(seeds) == 20
    assert all(int(float(seed)) == seed for seed in seeds)


@pytest.mark.parametrize("words", [(1, 2, 3, 4), (0, 0, 5, 2**64 - 1), (2**32, 1, 2**40, 2**63), (7,)])
def test_one_whole_number_stands_for_several_words(words):
    np.testing.assert_array_equal(class_key((seed_of(words),), 2), class_key(words, 2))


def test_mt19937_reports_the_seed_it_was_given(table):
    X, y = table
    for state, seed in ((9, 9), (np.random.RandomState(0), None)):
        sampler = SMOTE(random_state=state, bit_generator="mt19937")
        sampler.fit_resample(X, y)
        assert sampler.report_.seed == seed
    with pytest.raises(ParameterError, match="seeds go up to 4294967295"):
        SMOTE(random_state=2**32, bit_generator="mt19937").fit_resample(X, y)
