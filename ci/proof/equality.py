"""Every kernel and whole samplers: the NumPy path's bits, through every slicing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from proof import tables
from proof.run import Run

__all__ = ["equality"]

DTYPES = (np.float32, np.float64)
KINDS = ("plain", "heavy-tailed", "clusters 10,000 apart", "whole numbers", "offset", "subnormal", "huge")


def equality(run: Run) -> None:
    """Kernels by themselves, then samplers and their plans."""
    from gpusmote import draws
    from gpusmote.backends import Backend

    host, device, key = Backend(), run.backend, draws.class_key((11,), 2)
    with device.active(), np.errstate(all="ignore"):
        for name, pairs in (
            ("draw", _draws(run, host, device, key)),
            ("interpolate", _interpolation(run, host, device)),
            ("rerank", _distances(run, host, device)),
            ("count_foreign", _counts(run, host, device)),
            ("store", _stored(run)),
        ):
            _compare(run, name, pairs)
    for sampler in _samplers():
        _compare(run, str(sampler), _rows(run, sampler))


def _kinds(run: Run) -> tuple[str, ...]:
    return KINDS[::3] if run.tiny else KINDS


Pairs = Iterator[tuple[str, Any, Any]]


def _compare(run: Run, what: str, pairs: Pairs) -> None:
    """One line of the table for each kernel and sampler: arrays compared, and those that differ."""
    number, values, wrong = 0, 0, []
    for case, found, expected in pairs:
        found = found.get() if hasattr(found, "get") else found
        number, values = number + 1, values + expected.size
        if found.dtype != expected.dtype or found.shape != expected.shape or found.tobytes() != expected.tobytes():
            wrong.append(case)
    run.result(what=what, comparisons=number, values=values, different=len(wrong))
    run.check(f"{what}: equal to the bit in all {number} comparisons", not wrong and number > 0, "; ".join(wrong[:5]))


def _draws(run: Run, host: Any, device: Any, key: np.ndarray) -> Pairs:
    for start in (0, 1, 7, 2**31 - 3, 2**33 + 1, 2**63 - 3000):
        for count in (0, 1, 2, 255, 256, 257, 2001):
            for n in (1, 7, 2**40):
                both = device.draw(key, start, start + count, n), host.draw(key, start, start + count, n)
                for field, found, expected in zip(("pick", "gap"), *both, strict=True):
                    yield f"{field} [{start}, {start + count}) of {n}", found, expected
    samples = run.rng.integers(0, 2**62, 3000)
    both = device.draw_at(key, device.asarray(samples), 9), host.draw_at(key, samples, 9)
    for field, found, expected in zip(("pick", "gap"), *both, strict=True):
        yield f"{field} at given samples", found, expected


def _interpolation(run: Run, host: Any, device: Any) -> Pairs:
    for dtype in DTYPES:
        for kind in _kinds(run):
            for d in (1, 2, 3, 4, 7, 8, 31, 32, 33, 100, 128):
                m = 1 + 3000 // d
                values = tables.rows(run.rng, 300, d, dtype, kind)
                base, neighbour, gap = run.rng.integers(0, 300, m), run.rng.integers(0, 300, m), run.rng.random(m)
                expected = np.empty((m, d), dtype)
                host.interpolate(values, base, neighbour, gap, expected)
                v, b, n, g = (device.asarray(a) for a in (values, base, neighbour, gap))
                for offset in (0, 1):  # by how many values the rows miss a multiple of 16 bytes
                    out = run.xp.full(m * d + offset, 7, dtype)[offset:].reshape(m, d)
                    device.interpolate(v, b, n, g, out)
                    yield f"{np.dtype(dtype).name} {kind} {m} x {d} offset {offset}", out, expected


def _distances(run: Run, host: Any, device: Any) -> Pairs:
    for dtype in DTYPES:
        for kind in _kinds(run):
            for d in (1, 31, 32, 33, 100):
                for width in (1, 5, 31, 32, 33, 70):
                    values = tables.rows(run.rng, 200, d, dtype, kind)
                    queries, candidates = run.rng.integers(0, 200, 60), run.rng.integers(0, 200, (60, width))
                    found = device.rerank(*(device.asarray(a) for a in (values, queries, candidates)))
                    expected = host.rerank(values, queries, candidates)
                    yield f"{np.dtype(dtype).name} {kind} 60 x {width} x {d}", found, expected


def _counts(run: Run, host: Any, device: Any) -> Pairs:
    for m, k in ((1, 1), (255, 5), (5000, 10), (0, 3)):
        codes, neighbours = run.rng.integers(0, 4, 100), run.rng.integers(0, 100, (m, k))
        found = device.count_foreign(device.asarray(codes), device.asarray(neighbours), 2)
        yield f"{m} x {k}", found, host.count_foreign(codes, neighbours, 2)


def _stored(run: Run) -> Pairs:
    """Values as they are put into columns of other dtypes: rounded once, ties to even, kept within the dtype."""
    from gpusmote.arrays.rounding import store

    values, rounded = tables.halves()
    out = run.xp.empty(values.shape, np.float16)
    store(run.xp.asarray(values), out, run.xp)
    yield "float64 to float16, wherever rounding changes", out, rounded
    # Ties of whole numbers, and numbers beyond what each dtype holds.
    some = np.concatenate([np.arange(-300, 300) / 2, run.rng.normal(0, 1e5, 3000), [1e30, -1e30, 70_000.0, -70_000.0]])
    for dtype in DTYPES:
        for name in ("float16", "int8", "uint8", "int32", "int64", "uint64", "bool"):
            expected = np.empty(some.shape, name)
            store(some.astype(dtype), expected)
            out = run.xp.empty(some.shape, name)
            store(run.xp.asarray(some.astype(dtype)), out, run.xp)
            yield f"{np.dtype(dtype).name} to {name}", out, expected


def _samplers() -> list[Any]:
    from gpusmote import ADASYN, SMOTE, BorderlineSMOTE

    return [
        SMOTE(random_state=3),
        SMOTE(random_state=3, k_neighbors=1, bit_generator="mt19937"),
        BorderlineSMOTE(random_state=3),
        BorderlineSMOTE(random_state=3, kind="borderline-2"),
        ADASYN(random_state=3),
    ]


def _rows(run: Run, sampler: Any) -> Pairs:
    n, d = run.size(6000, 300), run.size(24, 5)
    for dtype in DTYPES:
        for kind in _kinds(run):
            X = tables.rows(run.rng, n, d, dtype, kind)
            y = run.rng.choice([0, 1, 2], n, p=[0.7, 0.2, 0.1])
            case = f"{np.dtype(dtype).name} {kind}"
            cpu, gpu = (sampler.set_params(device=name).plan(X, y) for name in ("cpu", "cuda"))
            expected, labels = cpu.resample()
            found, found_labels = gpu.resample()
            yield f"{case}: all rows", found, expected
            yield f"{case}: labels", found_labels, labels
            on_device, _ = sampler.set_params(device="auto").fit_resample(run.xp.asarray(X), y)
            yield f"{case}: rows from an array on the device", on_device, expected
            yield from _slices(case, cpu, gpu, expected[n:])


def _slices(case: str, cpu: Any, gpu: Any, made: np.ndarray) -> Pairs:
    """Single rows, cuts at odd places, halves, and shuffled batches."""
    m = len(made)
    edges = [0, 1, 2, 3, 5, 8, m // 3, m // 2, m // 2 + 1, m - 1, m]
    cuts = sorted({(a, b) for a in edges for b in edges if a < b})
    for start, stop in cuts:
        yield f"{case}: rows [{start}, {stop})", gpu.rows(start, stop), made[start:stop]
    yield f"{case}: origin", gpu.origin(3, m), cpu.origin(3, m)
    for size in (97, 1024):
        pairs = zip(gpu.batches(size, random_state=5), cpu.batches(size, random_state=5), strict=True)
        for number, ((found, _), (expected, _)) in enumerate(pairs):
            yield f"{case}: batch {number} of {size}", found, expected
