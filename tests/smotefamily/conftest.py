"""Real tables, and the functions that every test of what they share goes through."""

from __future__ import annotations

import pytest
from sklearn.datasets import load_breast_cancer, load_wine

from tests.smotefamily.helpers import CALLS
from tests.standin.install import cuda

__all__ = ["cuda"]


@pytest.fixture(params=CALLS.values(), ids=CALLS)
def call(request):
    """Each of the functions in turn."""
    return request.param


@pytest.fixture(scope="module")
def cancer():
    """Breast cancer with 60 malignant rows among 357 benign, index labels of its own."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    keep = (y == 1) | ((y == 0).cumsum() <= 60)
    X, y = X.loc[keep].iloc[:, :6], y[keep].map({0: "malignant", 1: "benign"})
    X.index = [f"patient {i}" for i in X.index]
    return X, y.to_numpy()


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, y.to_numpy()
