"""Whole numbers in proportion to weights, held to fractions that are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import Backend
from gpusmote.backends.cuda import CudaBackend
from gpusmote.base.apportion import apportion
from tests.standin.install import cuda

__all__ = ["cuda"]

STEADY = settings(derandomize=True, deadline=None, max_examples=300)
weights = st.lists(st.integers(0, 8), min_size=1, max_size=40)
amounts = st.one_of(st.integers(0, 200), st.integers(0, 2**63 - 1))


def slowly(n, given):
    """One row after another, in fractions."""
    exact = [Fraction(n * weight, sum(given)) for weight in given]
    counts = [int(share) for share in exact]
    order = sorted(range(len(given)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: n - sum(counts)]:
        counts[i] += 1
    return counts


@given(amounts, weights)
@STEADY
def test_by_largest_remainder_ties_to_the_lower_index(n, given):
    found = apportion(n, np.array(given), Backend())
    assert found.dtype == np.int64
    if not any(given):
        assert not found.any()
        return
    counts = found.tolist()
    assert counts == slowly(n, given)
    assert sum(counts) == n
    assert all(abs(Fraction(n * weight, sum(given)) - count) < 1 for weight, count in zip(given, counts, strict=True))
    assert all(weight or not count for weight, count in zip(given, counts, strict=True))


@pytest.mark.parametrize(
    ("n", "given", "counts"),
    [
        (1, [1, 1, 1], [1, 0, 0]),
        (2, [0, 3, 3, 3], [0, 1, 1, 0]),
        (4, [1, 2, 3], [1, 1, 2]),  # 2/3, 4/3 and 2: the first is rounded up
        (3, [2, 4, 2, 4], [1, 1, 0, 1]),  # 1/2, 1, 1/2, 1: of equal remainders the first
        (3, [4, 1, 3, 4], [1, 0, 1, 1]),  # different weights: remainders of none, 3/12, 9/12, none
        (3, [1, 4, 1], [1, 2, 0]),  # remainders 1/2, none, 1/2
        (9, [1, 3, 2], [2, 4, 3]),  # 3/2, 9/2 and 3: two different weights tie, and the lower row is rounded up
        (9, [3, 1, 2], [5, 1, 3]),
    ],
)
def test_by_hand(n, given, counts):
    assert apportion(n, np.array(given), Backend()).tolist() == counts


def test_on_the_device_and_without_a_trip_of_the_rows(cuda):
    machine = cuda()
    given = np.random.default_rng(0).integers(0, 6, 50_000)
    backend = CudaBackend(0)
    there = backend.asarray(given)
    before = len(machine.transfers)
    found = apportion(123_457, there, backend)
    assert {one.nbytes for one in machine.transfers[before:]} == {6 * 8}  # a number for each weight that occurs
    assert backend.to_host(found).tolist() == apportion(123_457, given, Backend()).tolist()
