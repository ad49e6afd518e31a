"""What several test files need."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine


@pytest.fixture(scope="session")
def overlapping():
    """Two overlapping classes, 400 and 60 rows, five columns: danger rows, noise and safe rows all occur."""
    rng = np.random.default_rng(20261124)
    X = rng.normal(size=(460, 5))
    y = np.repeat([0, 1], [400, 60])
    X[y == 1] += [1.5, 1.0, 0.0, 0.0, 0.0]
    order = rng.permutation(len(y))
    return X[order], y[order]


@pytest.fixture(scope="session", params=["breast_cancer", "wine", "digits"])
def real_table(request):
    """A real table, three classes or ten in two of them, made imbalanced where it is not."""
    X, y = {"breast_cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}[request.param](
        return_X_y=True
    )
    keep = np.ones(len(y), bool)
    keep[np.flatnonzero(y == 1)[25:]] = False
    return X[keep], y[keep]
