"""Every kernel, built for the host from the same source, against the NumPy path: equal to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpusmote import random_stream
from gpusmote.backends import Backend, kernels
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

KEY = random_stream.class_key((3,), 1)
# Neither the number of blocks nor that of threads may reach the result.
GEOMETRIES = st.tuples(st.integers(1, 5), st.sampled_from([1, 7, 32, 256]))
DTYPES = st.sampled_from([np.float32, np.float64])
STARTS = st.one_of(st.integers(0, 100), st.integers(2**31 - 9, 2**31 + 9), st.integers(2**63 - 100, 2**63 - 50))
quick = settings(derandomize=True, deadline=None, max_examples=60)


def launch(file, name, grid, block, *arguments):
    addresses = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    build(kernels.source(file))[name].launch(grid, block, addresses)


def filled(shape, dtype):
    """Memory that betrays what was not written."""
    array = np.empty(shape, dtype)
    array.view(np.uint8)[...] = 0xFF
    return array


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def table(rng, n, d, dtype, kind):
    values = rng.normal(size=(n, d))
    if kind == "offset":
        values += 1e9
    elif kind == "subnormal":
        values *= np.finfo(dtype).smallest_subnormal * 50
    elif kind == "huge":
        values *= float(np.finfo(dtype).max) / 1e3
    elif kind == "lognormal":
        values = np.exp(values * 5)
    elif kind == "duplicates":
        values = np.round(values)
    return values.astype(dtype)


KINDS = st.sampled_from(["plain", "offset", "subnormal", "huge", "lognormal", "duplicates"])

RANDOM123 = [  # philox4x64-10 in Random123's tests/kat_vectors: counter, key, answer
    ([0] * 4, [0] * 2, [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]),
    (
        [2**64 - 1] * 4,
        [2**64 - 1] * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]

WORDS_OF_A_BLOCK = """
extern "C" __global__ void philox_words(const unsigned long long* counter, const unsigned long long* key,
                                        unsigned long long* word) {
    const PhiloxBlock block = philox_block(
        key[0], key[1], PhiloxBlock{{counter[0], counter[1], counter[2], counter[3]}});
    for (int i = 0; i < 4; ++i) word[i] = block.word[i];
}
"""


@pytest.mark.parametrize(("counter", "key", "answer"), RANDOM123)
def test_philox_gives_the_known_answers_of_random123(counter, key, answer):
    counter, key, word = np.array(counter, np.uint64), np.array(key, np.uint64), np.zeros(4, np.uint64)
    kernel = build(kernels.source("philox.cuh") + WORDS_OF_A_BLOCK)["philox_words"]
    kernel.launch((1,), (1,), [counter.ctypes.data, key.ctypes.data, word.ctypes.data])
    assert word.tolist() == answer


@quick
@given(start=STARTS, count=st.integers(0, 40), n=st.sampled_from([1, 2, 5, 10**6, 2**62]), geometry=GEOMETRIES)
def test_draw_slice(start, count, n, geometry):
    pick, gap = filled(count, np.int64), filled(count, np.float64)
    grid, block = geometry
    launch("draw_samples.cu", "draw_slice", (grid,), (block,), *KEY, start, start + count, n, pick, gap)
    expected = random_stream.draw(KEY, start, start + count, n)
    assert same_bits(pick, expected[0])
    assert same_bits(gap, expected[1])


@quick
@given(samples=st.lists(STARTS, max_size=40), n=st.sampled_from([1, 3, 2**62]), geometry=GEOMETRIES)
def test_draw_gathered(samples, n, geometry):
    samples = np.array(samples, np.int64)
    pick, gap = filled(len(samples), np.int64), filled(len(samples), np.float64)
    grid, block = geometry
    launch("draw_samples.cu", "draw_gathered", (grid,), (block,), *KEY, samples, len(samples), n, pick, gap)
    expected = random_stream.draw_at(KEY, samples, n)
    assert same_bits(pick, expected[0])
    assert same_bits(gap, expected[1])


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 70)),
    m=st.integers(0, 40),
    dtype=DTYPES,
    kind=KINDS,
    geometry=GEOMETRIES,
)
def test_interpolate_rows(seed, shape, m, dtype, kind, geometry):
    rng = np.random.default_rng(seed)
    values = table(rng, *shape, dtype, kind)
    base, neighbor = rng.integers(0, shape[0], (2, m))
    gap = rng.random(m)
    out, expected = filled((m, shape[1]), dtype), filled((m, shape[1]), dtype)
    grid, block = geometry
    name = f"interpolate_rows_{np.dtype(dtype).name}"
    launch("interpolate_rows.cu", name, (grid,), (block,), values, base, neighbor, gap, m, shape[1], out)
    Backend().interpolate(values, base, neighbor, gap, expected)
    assert same_bits(out, expected)


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 7, 31, 32, 33, 64, 100])),
    m=st.integers(0, 9),
    width=st.sampled_from([1, 2, 31, 32, 33, 70]),
    dtype=DTYPES,
    kind=KINDS,
    grid=st.integers(1, 4),
    order=st.sampled_from([(), ("SHIM_DESCENDING",)]),
)
def test_rerank_distances(seed, shape, m, width, dtype, kind, grid, order):
    """Also with the threads in the other order: a barrier too few would show in one of the two."""
    rng = np.random.default_rng(seed)
    values = table(rng, *shape, dtype, kind)
    queries, candidates = rng.integers(0, shape[0], m), rng.integers(0, shape[0], (m, width))
    distance = filled((m, width), np.float64)
    kernel = build(kernels.source("rerank_distances.cu"), *order)[f"rerank_distances_{np.dtype(dtype).name}"]
    arrays = [a.ctypes.data for a in (values, queries, candidates)]
    kernel.launch((grid,), (32, 4), [*arrays, m, width, shape[1], distance.ctypes.data])
    with np.errstate(over="ignore"):
        assert same_bits(distance, Backend().rerank(values, queries, candidates))


@quick
@given(bits=st.lists(st.integers(0, 2**32 - 1), max_size=40), geometry=GEOMETRIES)
@example(bits=[0, 1, 2**31, 2**31 + 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x807FFFFF], geometry=(1, 7))
def test_float32_to_float64(bits, geometry):
    values = np.array(bits, np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    out = filled(len(values), np.float64)
    grid, block = geometry
    launch("convert_values.cu", "float32_to_float64", (grid,), (block,), values, len(values), out)
    assert same_bits(out, values.astype(np.float64))


@quick
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(0, 40), width=st.integers(1, 12), geometry=GEOMETRIES)
def test_count_foreign(seed, m, width, geometry):
    rng = np.random.default_rng(seed)
    codes, neighbors = rng.integers(0, 3, 50), rng.integers(0, 50, (m, width))
    count = filled(m, np.int64)
    grid, block = geometry
    launch("count_foreign.cu", "count_foreign", (grid,), (block,), codes, neighbors, 1, m, width, count)
    assert same_bits(count, Backend().count_foreign(codes, neighbors, 1))
