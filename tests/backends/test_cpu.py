"""The NumPy backend: distances, whatever the memory limit, and synthetic values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.backends import cpu
from gpusmote.backends.cpu import Backend, WorkingMemory
from tests import reference


def blocks_of(monkeypatch, backend, values, candidates):
    """Distances, and the queries of each block."""
    sizes = []

    def run(work, n, block):
        for start in range(0, n, block):
            sizes.append(min(n, start + block) - start)
            work(start, min(n, start + block))

    monkeypatch.setattr(cpu, "run_blocks", run)
    return backend.rerank(values, np.arange(len(candidates)), candidates), sizes


@pytest.mark.parametrize("scale", [1.0, 1 / 4, 1 / 64, 1 / 1024])
@pytest.mark.parametrize("d", [3, 1_277, 5_000, 270_000])
def test_blocks_of_pairs_are_neither_tiny_nor_too_large(monkeypatch, d, scale):
    rng, queries = np.random.default_rng(0), 40 if d < 10_000 else 4
    values = rng.standard_normal((queries, d)).astype(np.float32)
    candidates = rng.integers(0, queries, (queries, 8))
    whole, usual = blocks_of(monkeypatch, Backend(), values, candidates)
    backend = Backend().within(WorkingMemory(int(scale * WorkingMemory.usual()), 0))
    cut, sizes = blocks_of(monkeypatch, backend, values, candidates)
    np.testing.assert_array_equal(cut, whole)
    assert sizes[0] >= min(usual[0], 64 // 8)
    values_at_once = backend.memory.size(cpu._COMPARED)
    assert sizes[0] * 8 <= max(8, values_at_once // d, min(values_at_once, cpu._PAIRS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_synthetic_value_between_equal_ones_has_their_bits(dtype):
    info = np.finfo(dtype)
    row = np.array([0.0, -0.0, 1.5, -1e-3, info.max, -info.max, info.smallest_subnormal], dtype)
    gap = np.array([0.0, 0.3, np.nextafter(1.0, 0.0)])
    out = np.empty((3, len(row)), dtype)
    Backend().interpolate(np.stack([row, row]), np.zeros(3, np.int64), np.ones(3, np.int64), gap, out)
    assert out.tobytes() == np.stack([row] * 3).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_synthetic_values_are_those_of_the_formula(dtype):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(50, 9)), rng.integers(-2, 3, size=(50, 9))]).astype(dtype)
    base, neighbor = rng.integers(0, 100, (2, 500))
    gap = np.where(rng.random(500) < 0.1, 0.0, rng.random(500))
    out = np.empty((500, 9), dtype)
    Backend().interpolate(values, base, neighbor, gap, out)
    start, end = values[base].astype("f8"), values[neighbor].astype("f8")
    assert np.array_equal(out, (start + gap[:, None] * (end - start)).astype(dtype))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 1, 1), (50, 4, 9), (7, 3, 2000), (5000, 8, 3)])
def test_deciding_distances_are_summed_in_column_order(shape, dtype):
    m, c, d = shape
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((60, d)) * 10.0 ** rng.integers(-3, 4, d)).astype(dtype)
    queries, candidates = rng.integers(0, 60, m), rng.integers(0, 60, (m, c))
    found = Backend().rerank(X, queries, candidates)
    table = np.array([reference.squared_distances(X, i) for i in range(60)])
    np.testing.assert_array_equal(found, table[queries[:, None], candidates])


def test_a_single_pair_is_summed_in_column_order_too():
    """np.sum would add a contiguous column of differences pairwise."""
    X = np.random.default_rng(1).lognormal(0, 4, (2, 999))
    found = Backend().rerank(X, np.array([0]), np.array([[1]]))
    assert found[0, 0] == reference.squared_distances(X, 0)[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_rows_are_added_in_order(height, width, seed):
    rng = np.random.default_rng(seed)
    rows = np.exp(rng.normal(scale=8, size=(height, width)))
    total = np.zeros(width)
    for row in rows:
        total += row
    assert np.array_equal(cpu.add_in_order(rows), total)
