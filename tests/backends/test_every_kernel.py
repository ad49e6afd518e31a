"""Every kernel at awkward sizes gives the bits of the NumPy path.

``ci/gpu`` runs this file first, and again under compute-sanitizer. Each array is an allocation of its own: in a memory
pool, an access beyond the end of an array would go unnoticed.
"""

from __future__ import annotations

import functools
import inspect
import re

import numpy as np
import pytest

from gpusmote import random_stream
from gpusmote.backends import Backend, kernels
from gpusmote.backends import cuda as cuda_module
from gpusmote.backends.cuda import CudaBackend
from gpusmote.containers.table import store
from tests.containers.helpers import halves
from tests.standin.host_kernels import signatures
from tests.standin.install import cuda

__all__ = ["cuda"]

HOST = Backend()
KEY = random_stream.class_key((11,), 2)
FILES = sorted(set(re.findall(r'"(\w+\.cu)"', inspect.getsource(cuda_module))))
KERNELS = sorted(name for file in FILES for name in signatures(kernels.source(file)))
KINDS = ("plain", "heavy-tailed", "clusters", "whole numbers", "offset", "subnormal", "huge")


def rows(rng, n, d, dtype, kind):
    """A table whose values are hard on float32, on sums, or on both."""
    values, narrow = rng.standard_normal((n, d), np.dtype(dtype)), dtype == np.float32
    if kind == "heavy-tailed":
        np.exp(values * 2, out=values)
    elif kind == "clusters":
        values[::2] += 10_000
    elif kind == "whole numbers":
        np.round(values, out=values)
    elif kind == "offset":
        values += 1e6
    elif kind == "subnormal":
        values *= 1e-41 if narrow else 1e-310
    elif kind == "huge":
        values *= 1e34 if narrow else 1e300
    return values


def drawn(device, rng):
    for start in (0, 1, 7, 2**31 - 3, 2**33 + 1, 2**63 - 3000):
        for count in (1, 2, 255, 256, 257, 2001):
            for n in (1, 7, 2**40):
                both = device.draw(KEY, start, start + count, n), HOST.draw(KEY, start, start + count, n)
                for what, found, expected in zip(("pick", "gap"), *both, strict=True):
                    yield f"{what} of [{start}, {start + count}) of {n}", found, expected


def gathered(device, rng):
    for count in (1, 255, 3000):
        samples = rng.integers(0, 2**62, count)
        both = device.draw_at(KEY, device.asarray(samples), 9), HOST.draw_at(KEY, samples, 9)
        for what, found, expected in zip(("pick", "gap"), *both, strict=True):
            yield f"{what} of {count} samples", found, expected


def interpolated(device, rng, dtype):
    for kind in KINDS:
        for d in (1, 2, 3, 4, 7, 8, 31, 32, 33, 100, 128):
            m = 1 + 3000 // d
            values = rows(rng, 300, d, dtype, kind)
            base, neighbor, gap = rng.integers(0, 300, m), rng.integers(0, 300, m), rng.random(m)
            expected = np.empty((m, d), dtype)
            HOST.interpolate(values, base, neighbor, gap, expected)
            on_device = [device.asarray(a) for a in (values, base, neighbor, gap)]
            for offset in (0, 1):  # by how many values the rows miss a multiple of 16 bytes
                out = device.xp.full(m * d + offset, 7, dtype)[offset:].reshape(m, d)
                device.interpolate(*on_device, out)
                yield f"{kind}, {m} x {d}, offset {offset}", out, expected


def distances(device, rng, dtype):
    for kind in KINDS:
        for d in (1, 31, 32, 33, 100):
            values = rows(rng, 200, d, dtype, kind)
            for width in (1, 31, 32, 33, 70):
                queries, candidates = rng.integers(0, 200, 20), rng.integers(0, 200, (20, width))
                found = device.rerank(*(device.asarray(a) for a in (values, queries, candidates)))
                yield f"{kind}, 20 x {width} x {d}", found, HOST.rerank(values, queries, candidates)


def counted(device, rng):
    for m, k in ((1, 1), (255, 5), (5000, 10)):
        codes, neighbors = rng.integers(0, 4, 100), rng.integers(0, 100, (m, k))
        found = device.count_foreign(device.asarray(codes), device.asarray(neighbors), 2)
        yield f"{m} x {k}", found, HOST.count_foreign(codes, neighbors, 2)


def converted(device, rng):
    for kind in KINDS:
        for n, d in ((1, 1), (1, 255), (257, 3), (3000, 7)):
            values = rows(rng, n, d, np.float32, kind)
            yield f"{kind}, {n} x {d}", device.to_float64(device.asarray(values)), values.astype(np.float64)


CASES = {
    "float32_to_float64": converted,
    "draw_slice": drawn,
    "draw_gathered": gathered,
    "count_foreign": counted,
    **{
        f"interpolate_rows_{name}": functools.partial(interpolated, dtype=np.dtype(name))
        for name in ("float32", "float64")
    },
    **{
        f"rerank_distances_{name}": functools.partial(distances, dtype=np.dtype(name))
        for name in ("float32", "float64")
    },
}


def differing(cases):
    """Names of the cases in which the device's bits are not the NumPy path's, and the number of all cases."""
    wrong, number = [], 0
    for case, found, expected in cases:
        number, found = number + 1, found.get()
        if (found.dtype, found.shape, found.tobytes()) != (expected.dtype, expected.shape, expected.tobytes()):
            wrong.append(case)
    return wrong, number


@pytest.fixture
def machine(cuda):
    started = cuda()
    import cupy

    with cupy.cuda.using_allocator(None), np.errstate(all="ignore"):
        yield started


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_gives_the_bits_of_numpy(machine, kernel):
    wrong, number = differing(CASES[kernel](CudaBackend(0), np.random.default_rng(0)))
    assert wrong == []
    assert number > 2
    assert {launch.kernel for launch in machine.launches} == {kernel}


def test_values_are_rounded_once_to_the_dtype_of_their_column(machine):
    xp = CudaBackend(0).xp

    def stored():
        values, expected = halves()
        yield "float64 to float16, wherever rounding changes", into(values, "float16"), expected
        some = [np.arange(-300, 300) / 2, np.random.default_rng(0).normal(0, 1e5, 3000), [1e30, -1e30, 7e4, -7e4]]
        for dtype in ("float32", "float64"):
            for name in ("float16", "int8", "uint8", "int32", "int64", "uint64", "bool"):
                values = np.concatenate(some).astype(dtype)
                store(values, expected := np.empty(values.shape, name))
                yield f"{dtype} to {name}", into(values, name), expected

    def into(values, name):
        store(xp.asarray(values), out := xp.empty(values.shape, name), xp)
        return out

    assert differing(stored()) == ([], 15)


def test_one_wrong_value_is_found(machine, monkeypatch):
    right = CudaBackend.interpolate

    def wrong(self, values, base, neighbor, gap, out):
        right(self, values, base, neighbor, gap, out)
        out[-1, -1] = 0.5

    monkeypatch.setattr(CudaBackend, "interpolate", wrong)
    found, number = differing(interpolated(CudaBackend(0), np.random.default_rng(0), np.dtype("float32")))
    assert len(found) == number > 100
