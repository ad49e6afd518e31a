"""Subclasses of pandas' frames and series come back as what they are, as pandas' own operations give them back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="pandas is not installed")

from gpusmote import SMOTE  # noqa: E402 (after the skip)


class Measured(pd.DataFrame):
    """A subclass with its own ``_constructor`` and metadata, as in pandas' guide to subclassing."""

    _metadata = ["unit"]  # noqa: RUF012 (as pandas has it)

    @property
    def _constructor(self):
        return Measured

    @property
    def _constructor_sliced(self):
        return Kinds


class Kinds(pd.Series):
    @property
    def _constructor(self):
        return Kinds


class Plain(pd.DataFrame):
    """A subclass without ``_constructor``: operations of pandas also return a DataFrame."""


BUILDS = {
    "one dtype": lambda X: X,
    "several dtypes": lambda X: {"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": pd.array(X[:, 2], "Float64")},
    "sparse": lambda X: {name: pd.arrays.SparseArray(X[:, j], fill_value=0.0) for j, name in enumerate("abc")},
}


def data():
    return np.random.default_rng(0).normal(size=(60, 3)), np.repeat([0, 1], [40, 20])


@pytest.mark.parametrize("build", BUILDS)
def test_a_frame(build):
    X, y = data()
    frame = Measured(BUILDS[build](X))
    frame.unit, frame.attrs["source"] = "kg", "scales"
    plan = SMOTE(random_state=0).plan(frame, y)
    expected, _ = SMOTE(random_state=0).fit_resample(pd.DataFrame(frame), y)
    for found in (plan.resample()[0], plan.rows(), *(X_part for X_part, _ in plan.batches(30))):
        assert type(found) is Measured
        assert (found.unit, found.attrs) == ("kg", {"source": "scales"})
    found = pickle.loads(pickle.dumps(plan)).resample()[0]
    assert type(found) is Measured
    assert found.unit == "kg"
    pd.testing.assert_frame_equal(pd.DataFrame(found), expected)


def test_what_is_attached_is_not_shared():
    X, y = data()
    frame = Measured(X)
    frame.attrs["source"] = ["scales"]
    found, _ = SMOTE(random_state=0).fit_resample(frame, y)
    found.attrs["source"].append("another")
    assert frame.attrs == {"source": ["scales"]}


@pytest.mark.parametrize("build", BUILDS)
def test_a_frame_that_names_no_constructor(build):
    X, y = data()
    found, _ = SMOTE(random_state=0).fit_resample(Plain(BUILDS[build](X)), y)
    assert type(found) is pd.DataFrame


def test_a_series():
    X, y = data()
    labels = Kinds(y, name="kind")
    plan = SMOTE(random_state=0).plan(X, labels)
    assert {type(plan.resample()[1]), type(plan.labels()), type(pickle.loads(pickle.dumps(plan)).labels())} == {Kinds}
    _, found = SMOTE(random_state=0).fit_resample(Measured(X), labels)
    assert type(found) is Kinds
