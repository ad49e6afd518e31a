"""The kernel that makes the rows, against a plain copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof import tables
from proof.limits import copy_bandwidth
from proof.run import Run

__all__ = ["generation", "moved"]

GOAL = 0.85
FROM = 32  # columns
TABLE, OUTPUT = 512 << 20, 1 << 30  # bytes: far more than any second-level cache


def moved(m: int, d: int, itemsize: int) -> int:
    """Bytes that m rows of d values take: two rows read, one written, two positions and a gap read."""
    return m * (3 * d * itemsize + 24)


def generation(run: Run) -> None:
    """Rows a second and share of the copy bandwidth, for the kernel alone and with its draws."""
    copy = copy_bandwidth(run)
    run.note(
        f"Bytes of m rows: m (3 d s + 24). Limit: the copy's {copy / 1e9:.0f} GB/s, measured in this step. "
        f"Tables of {TABLE >> 20} MiB, outputs of {OUTPUT >> 20} MiB, bases and neighbours at random."
        if not run.tiny
        else "Bytes of m rows: m (3 d s + 24). Tiny tables."
    )
    for dtype in (np.float32, np.float64):
        for d in (8, 32, 64, 128, 512):
            _one(run, copy, d, dtype)


def _one(run: Run, copy: float, d: int, dtype: Any) -> None:
    from gpusmote import draws

    item = np.dtype(dtype).itemsize
    v, m = run.size(TABLE // (d * item), 40), run.size(OUTPUT // (d * item), 90)
    backend, xp, key = run.backend, run.xp, draws.class_key((5,), 1)
    values = tables.on_device(run, v, d, dtype)
    base, gap = backend.draw(key, 0, m, v)
    neighbour, _ = backend.draw(draws.class_key((6,), 1), 0, m, v)
    out = xp.full((m, d), xp.nan, dtype)
    kernel = run.clock.device(lambda: backend.interpolate(values, base, neighbour, gap, out))
    _right(run, values, base, neighbour, gap, out)

    def with_draws() -> None:
        drawn, gaps = backend.draw(key, 0, m, v)
        backend.interpolate(values, drawn, neighbour, gaps, out)

    both = run.clock.device(with_draws)
    share = moved(m, d, item) / kernel.median / copy
    name = np.dtype(dtype).name
    run.result(
        dtype=name,
        d=d,
        rows=m,
        ms=kernel.median * 1e3,
        spread=kernel.spread,
        rows_per_s=m / kernel.median,
        GB_per_s=moved(m, d, item) / kernel.median / 1e9,
        share_of_copy=share,
        ms_with_draws=both.median * 1e3,
    )
    if d >= FROM:
        run.goal(f"{name}, d = {d}: share of the copy bandwidth", share, GOAL, at_least=True)


def _right(run: Run, values: Any, base: Any, neighbour: Any, gap: Any, out: Any) -> None:
    """Some of the rows that were timed, from both ends and between, against the NumPy path."""
    from gpusmote.backends import Backend

    m = len(base)
    some = np.unique(np.concatenate([np.arange(min(m, 50)), run.rng.integers(0, m, 500), [m - 1]]))
    pick = run.xp.asarray(some)
    b, n, g = (a[pick] for a in (base, neighbour, gap))
    expected = np.empty((len(some), values.shape[1]), values.dtype)
    low, high, place = values[b].get(), values[n].get(), np.arange(len(some))
    Backend().interpolate(np.concatenate([low, high]), place, place + len(some), g.get(), expected)
    found = out[pick].get()
    case = f"{values.dtype.name}, d = {values.shape[1]}"
    run.check(f"{case}: rows that were timed are right", found.tobytes() == expected.tobytes())
    run.check(f"{case}: every value was written", not bool(run.xp.isnan(out).any()))
