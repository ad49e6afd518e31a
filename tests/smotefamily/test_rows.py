"""Where the synthetic rows lie, how many there are and what decides them."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gpusmote
from gpusmote import r, random_stream
from gpusmote.errors import GpusmoteWarning, NoSeedsError, TooFewRowsError
from tests.smotefamily.helpers import CALLS, danger_rows, features, foreign_rows, gaps, nearest, positions


@pytest.mark.parametrize("dup_size", [0, 1, 3])
@pytest.mark.parametrize("K", [1, 5])
def test_blocks_a_base_row_each_on_a_segment_to_one_of_its_k_nearest(cancer, K, dup_size):
    X, target = cancer
    result = r.SMOTE(X, target, K=K, dup_size=dup_size, random_state=4)
    size = dup_size or (357 - 60) // 60
    assert result.dup_size == size
    assert len(result.syn_data) == 60 * size
    values, bases = X.to_numpy(), positions(X, result.orig_P)
    minority = np.flatnonzero(target == "malignant")
    for row, base in zip(features(result.syn_data), np.repeat(bases, size), strict=True):
        found = gaps(values, row, base, nearest(values, base, minority, K))
        assert any(-1e-9 <= gap < 1 for gap in found.values())


def test_gap_is_one_uniform_number_a_row_and_neighbors_are_drawn_alike():
    X = pd.DataFrame({"a": [0.0, 1.0, -1.0, *np.arange(50.0, 80.0)], "b": 0.0})
    result = r.SMOTE(X, [0] * 3 + [1] * 30, K=2, dup_size=4000, random_state=0)
    block = result.orig_P.index.get_loc(0)
    a = result.syn_data["a"].to_numpy()[block * 4000 :][:4000]
    assert abs((a > 0).mean() - 0.5) < 0.03
    gap = np.sort(np.abs(a))
    assert np.abs(gap - (np.arange(4000) + 0.5) / 4000).max() < 0.03  # Kolmogorov-Smirnov, p < 0.002 if not uniform
    assert (gap[0], gap[-1]) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))


def test_neighbor_is_never_the_row_itself_but_may_be_its_duplicate():
    X = pd.DataFrame({"a": [0.0, 0.0, 5.0, 5.0, *np.arange(20.0, 40.0)]})
    result = r.SMOTE(X, [0] * 4 + [1] * 20, K=1, dup_size=3, random_state=0)
    assert set(result.syn_data["a"]) == {0.0, 5.0}  # the nearest other row is the duplicate
    result = r.SMOTE(X, [0] * 4 + [1] * 20, K=2, dup_size=30, random_state=0)
    assert 0 < (result.syn_data["a"] % 5 != 0).sum() < 120  # and with two, not only the duplicate


def test_distance_is_euclidean_on_the_columns_as_they_are():
    X = pd.DataFrame({"a": [0.0, 1.0, 0.0, *[0.5] * 20], "b": [0.0, 0.0, 2.0, *np.linspace(100, 10_000, 20)]})
    result = r.SMOTE(X, [0] * 3 + [1] * 20, K=1, dup_size=5, random_state=0)
    block = result.orig_P.index.get_loc(0) * 5
    # Were the columns scaled, the third row would be nearer to the first than the second is.
    assert (result.syn_data["b"].iloc[block : block + 5] == 0).all()


@pytest.mark.parametrize(("given_size", "size"), [([1, 3, 2], 3), ([4], 4), (np.array([2, 0, 9]), 4), (2.0, 2)])
def test_dup_size_vector_its_maximum_or_as_0(cancer, given_size, size):
    result = r.SMOTE(*cancer, dup_size=given_size)
    assert result.dup_size == size
    assert len(result.syn_data) == 60 * size


@pytest.mark.parametrize("kind", ["type1", "type2"])
@pytest.mark.parametrize("C", [4, 5, 9])
def test_blsmote_on_a_real_table(cancer, kind, C):
    X, target = cancer
    values, minority = X.to_numpy(), np.flatnonzero(target == "malignant").tolist()
    result = r.BLSMOTE(X, target, K=3, C=C, method=kind, random_state=2)
    danger = set(danger_rows(values, minority, C))
    bases = [base for base in positions(X, result.orig_P) if base in danger]
    assert result.dup_size == (357 - 60) // len(danger)
    assert len(result.syn_data) == len(danger) * result.dup_size
    for row, base in zip(features(result.syn_data), np.repeat(bases, result.dup_size), strict=True):
        pool, k = (danger, 3) if kind == "type1" else (range(len(values)), C)
        found = gaps(values, row, base, nearest(values, base, pool, k))
        assert any(-1e-9 <= gap < (1.0 if other in minority else 0.5) for other, gap in found.items())


def test_type2_goes_half_way_to_the_majority_and_all_the_way_to_the_minority():
    X = pd.DataFrame({"a": [0.0, -4.0, 3.0, *np.arange(100.0, 150.0)]})
    result = r.BLSMOTE(X, [0, 0] + [1] * 51, C=2, dup_size=3000, method="type2", random_state=0)
    block = [i for i in result.orig_P.index if i == 0 or i == 1].index(0) * 3000
    a = result.syn_data["a"].to_numpy()[block : block + 3000]
    assert len(result.syn_data) == 6000
    assert not result.syn_data.isna().any(axis=None)  # R's bug type2_NA
    assert -4 < a.min() < -3.9
    assert 1.45 < a.max() < 1.5
    assert abs((a > 0).mean() - 0.5) < 0.03


@pytest.mark.parametrize("K", [1, 2, 5, 8])
def test_adas_rounds_each_rows_share_of_the_difference_half_to_even(cancer, K):
    """Python's ``round`` is R's: halves go to the even number. The shares are fractions, so that halves are exact."""
    X, target = cancer
    values, minority = X.to_numpy(), np.flatnonzero(target == "malignant").tolist()
    result = r.ADAS(X, target, K=K, random_state=3)
    bases = positions(X, result.orig_P)
    foreign = foreign_rows(values, minority, K)
    share = {i: Fraction((357 - 60) * f, sum(foreign)) for i, f in zip(minority, foreign, strict=True)}
    assert result.dup_size.tolist() == [round(share[i]) for i in bases]
    rows = features(result.syn_data)
    assert len(rows) == result.dup_size.sum() != 357 - 60  # rounded one by one, they do not add up
    for row, base in zip(rows, np.repeat(bases, result.dup_size), strict=True):
        found = gaps(values, row, base, nearest(values, base, minority, K))
        assert any(-1e-9 <= gap < 1 for gap in found.values())


@pytest.mark.parametrize(("more", "size"), [(5, 1), (6, 2), (7, 2), (10, 2), (11, 3), (14, 4)])
def test_adas_at_a_half_goes_to_the_even_number(more, size):
    """Each of four minority rows has one foreign neighbor of two, and gets a quarter of N - P."""
    X = pd.DataFrame({"a": [0.0, 1.0, 10.0, 11.0, -0.9, 11.9, *np.arange(500.0, 502.0 + more)]})
    target = [0] * 4 + [1] * (4 + more)
    assert foreign_rows(X.to_numpy(), [0, 1, 2, 3], 2) == [1] * 4
    assert r.ADAS(X, target, K=2, random_state=0).dup_size.tolist() == [size] * 4


def test_random_state_repeats_the_call_whatever_the_bit_generator(call, cancer):
    def equal(a, b):
        return a.data.equals(b.data) and a.orig_P.index.equals(b.orig_P.index)

    first = call(*cancer, random_state=5)
    with gpusmote.config_context(bit_generator="mt19937"):
        assert equal(call(*cancer, random_state=5), first)
    assert not equal(call(*cancer, random_state=6), first)
    assert not equal(call(*cancer), call(*cancer))
    for make in (np.random.default_rng, np.random.RandomState):
        assert equal(call(*cancer, random_state=make(1)), call(*cancer, random_state=make(1)))


def test_numpys_global_state_and_stdout_are_left_alone(call, cancer, capsys):
    before = np.random.get_state()[1].tolist()
    call(*cancer)
    assert np.random.get_state()[1].tolist() == before
    assert capsys.readouterr() == ("", "")  # R's bug noise


def test_shuffle_picks_and_gaps_are_the_documented_words_of_the_stream(cancer):
    X, target = cancer
    values, minority = X.to_numpy(), np.flatnonzero(target == "malignant")
    result = r.SMOTE(X, target, K=3, dup_size=2, random_state=9)
    order = minority[np.argsort(random_stream.words(random_stream.class_key((9,), 0), 0, 60))]
    assert positions(X, result.orig_P) == order.tolist()
    pick, gap = random_stream.draw(random_stream.class_key((9,), 1), 0, 120, 3)
    base = order.repeat(2)
    other = [nearest(values, i, minority, 3)[j] for i, j in zip(base, pick, strict=True)]
    assert np.array_equal(features(result.syn_data), values[base] + gap[:, None] * (values[other] - values[base]))


def test_rows_are_the_same_to_the_bit_on_a_device(call, cancer, cuda):
    expected = call(*cancer, random_state=5)
    machine = cuda()
    with gpusmote.config_context(device="cuda"):
        result = call(*cancer, random_state=5)
    assert machine.launches
    assert result.data.equals(expected.data)
    assert result.orig_P.equals(expected.orig_P)


@st.composite
def tables(draw):
    """Small tables on a grid, so that ties and duplicates abound, minority 4 to 12 rows."""
    d, p, n = draw(st.integers(1, 3)), draw(st.integers(4, 12)), draw(st.integers(13, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, draw(st.integers(2, 12)), size=(p + n, d)).astype(np.float64)
    target = np.repeat([1, 0], [p, n])[rng.permutation(p + n)]
    return pd.DataFrame(values, index=rng.permutation(p + n)), target


@settings(derandomize=True, deadline=None, max_examples=60)
@given(tables(), st.integers(1, 3), st.integers(1, 3), st.integers(2, 6), st.sampled_from(["SMOTE", "type1", "type2"]))
def test_blocks_counts_and_segments_with_ties_to_the_first_row_of_x(table, K, dup_size, C, name):
    X, target = table
    values, minority = X.to_numpy(), np.flatnonzero(target == 1).tolist()
    allowed = set(minority) if name == "SMOTE" else set(danger_rows(values, minority, C))
    arguments = {"K": K, "dup_size": dup_size, "random_state": 0} | ({} if name == "SMOTE" else {"C": C})
    if not allowed or (name == "type1" and len(allowed) <= K):
        with pytest.raises(TooFewRowsError if allowed else NoSeedsError):
            CALLS[name](X, target, **arguments)
        return
    result = CALLS[name](X, target, **arguments)
    bases = [base for base in positions(X, result.orig_P) if base in allowed]
    assert len(result.syn_data) == len(bases) * dup_size
    pool, k = (range(len(values)), C) if name == "type2" else (allowed, K)
    for row, base in zip(features(result.syn_data), np.repeat(bases, dup_size), strict=True):
        found = gaps(values, row, base, nearest(values, base, pool, k))
        half = name == "type2"
        assert any(-1e-9 <= gap < (0.5 if half and target[other] == 0 else 1) for other, gap in found.items())


@settings(derandomize=True, deadline=None, max_examples=30)
@given(tables(), st.integers(2, 6))
def test_counts_of_blsmote_do_not_depend_on_the_seed(table, C):
    X, target = table
    minority = np.flatnonzero(target == 1).tolist()
    assume(danger_rows(X.to_numpy(), minority, C))
    sizes = {len(r.BLSMOTE(X, target, C=C, dup_size=1, method="type2", random_state=s).syn_data) for s in range(4)}
    assert len(sizes) == 1


@settings(derandomize=True, deadline=None, max_examples=60)
@given(tables(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_adas_by_brute_force_with_ties_to_the_first_row_of_x(table, K, seed):
    X, target = table
    values, minority = X.to_numpy(), np.flatnonzero(target == 1).tolist()
    foreign = foreign_rows(values, minority, K)
    if not any(foreign):
        with pytest.raises(NoSeedsError):
            r.ADAS(X, target, K=K)
        return
    n = len(X) - 2 * len(minority)
    counts = {i: round(Fraction(n * f, sum(foreign))) for i, f in zip(minority, foreign, strict=True)}
    with warnings.catch_warnings():
        warnings.simplefilter("default" if any(counts.values()) else "ignore", GpusmoteWarning)
        result = r.ADAS(X, target, K=K, random_state=seed)
    bases = positions(X, result.orig_P)
    assert result.dup_size.tolist() == [counts[i] for i in bases]  # whatever the seed
    for row, base in zip(features(result.syn_data), np.repeat(bases, result.dup_size), strict=True):
        found = gaps(values, row, base, nearest(values, base, minority, K))
        assert any(-1e-9 <= gap < 1 for gap in found.values())
