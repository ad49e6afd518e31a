"""What an estimate is asked about: sizes, a dtype, classes."""

from __future__ import annotations

import numpy as np
import pytest

from gpusmote import SMOTE, BorderlineSMOTE
from gpusmote.errors import ParameterError
from gpusmote.sampler import BaseSampler

TWO = {"no": 900, "yes": 100}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, "f4", TWO), "n_rows is 0"),
        (("x", 4, "f4", TWO), "n_rows is 'x'"),
        ((1000, -3, "f4", TWO), "n_features is -3"),
        ((1000, 3.5, "f4", TWO), "n_features is 3.5"),
        ((1000, 4, "nonsense", TWO), "dtype is 'nonsense'"),
        ((1000, 4, np.complex128, TWO), "must be a dtype of real numbers"),
        ((1000, 4, "U3", TWO), "must be a dtype of real numbers"),
        ((1000, 4, "f4", {"no": 1000}), "one class only"),
        ((1000, 4, "f4", {"no": 909.3, "yes": 90.7}), "rows of class 'no' is 909.3"),
        ((1000, 4, "f4", {0: 900, "a": 100}), "cannot be sorted"),
        ((1001, 4, "f4", TWO), "y has 1,000 rows in its classes, X has 1,001"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_estimated(arguments, message):
    *sizes, y = arguments
    with pytest.raises(ParameterError, match=message):
        SMOTE().estimate(*sizes, y=y)


def test_parameters_are_checked():
    with pytest.raises(ParameterError, match="The 'k_neighbors' parameter of SMOTE"):
        SMOTE(k_neighbors=0).estimate(1000, 4, y=TWO)


def test_labels_as_an_array_or_counted():
    labels = np.repeat(["no", "yes"], [900, 100])
    assert SMOTE().estimate(1000, 4, y=labels) == SMOTE().estimate(1000, 4, y={"yes": 100, "no": 900})


def test_a_sampler_that_only_says_that_it_looks_at_all_rows():
    class Looks(SMOTE):
        _looks_at_all_rows = True

    sizes = (40_000, 32, "f4")
    y = {0: 37_000, 1: 3_000}
    assert issubclass(Looks, BaseSampler)
    assert Looks().estimate(*sizes, y=y).total > 1.2 * SMOTE().estimate(*sizes, y=y).total
    assert Looks(k_neighbors=10).estimate(*sizes, y=y).host.pool == BorderlineSMOTE().estimate(*sizes, y=y).host.pool
