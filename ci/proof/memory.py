"""What calls take of the device's memory, and tables whose values 32 bits cannot number."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof import tables
from proof.run import Run

__all__ = ["large", "memory"]

GIB = 1 << 30
CLOSE = 0.15  # of the estimate, by which a peak may miss it


def memory(run: Run) -> None:
    """Peaks of fit_resample against the estimate, by default and within a budget of one GiB."""
    from gpusmote import SMOTE

    for full in (100_000, 400_000):
        n = run.size(full, full // 500)
        X, y = tables.imbalanced(n, 64)
        SMOTE(random_state=0, device="cuda").fit_resample(X[:600], y[:600])
        expected = None
        for name, table in (("host arrays", X), ("device arrays", run.xp.asarray(X))):
            for limit in (None, GIB):
                expected = _one(run, n, name, table, y, limit, expected)


def _one(run: Run, n: int, name: str, X: Any, y: np.ndarray, limit: int | None, expected: Any) -> Any:
    from gpusmote import SMOTE
    from gpusmote.errors import MemoryLimitError

    sampler = SMOTE(random_state=0, device="cuda", memory_limit=limit)
    kept: list[Any] = []
    case = f"{n:,} x {X.shape[1]}, {name}, {'default' if limit is None else '1 GiB'}"
    try:
        peak = run.peak(lambda: kept.append(sampler.fit_resample(X, y)[0]))
    except MemoryLimitError as error:
        output = (len(X) + 4 * n) * X.shape[1] * X.dtype.itemsize
        impossible = limit is not None and name == "device arrays" and output > limit / 2
        run.check(f"{case}: refused only where the output itself leaves too little", impossible, str(error))
        return expected
    estimate = sampler.report_.bytes["total"]
    found = kept[0].get() if hasattr(kept[0], "get") else kept[0]
    allocated = peak["arrays"] + peak["outside"]
    sizes = {"arrays": peak["arrays"], "outside CuPy": peak["outside"], "device": peak["device"], "estimate": estimate}
    run.result(case=case, **{f"{what}_MiB": size / 2**20 for what, size in sizes.items()})
    run.goal(f"{case}: allocated, over the estimate", allocated / estimate, 1 + CLOSE, at_least=False)
    run.goal(f"{case}: allocated, over the estimate", allocated / estimate, 1 - CLOSE, at_least=True)
    if limit is not None:
        run.check(f"{case}: CuPy's arrays keep within the limit", peak["arrays"] <= limit, f"{peak['arrays']:,} bytes")
        run.goal(f"{case}: allocated, over the limit", allocated / limit, 1.0, at_least=False)
    if expected is not None:
        run.check(f"{case}: the same bytes", found.tobytes() == expected.tobytes())
    return found if expected is None else expected


def large(run: Run) -> None:
    """Interpolation from and to tables of more than 2**31 values, where the device has room for both."""
    d = 33  # odd: single values, and rows that lie across every boundary
    v = m = run.size(2**31 // d + 1000, 50)
    need = (v + m) * d * 4 + 24 * m + (1 << 30)
    free = run.xp.cuda.Device(0).mem_info[0] + run.xp.get_default_memory_pool().free_bytes()
    if need > free:
        run.not_here(f"Two tables of 2^31 values take {need / GIB:.0f} GiB, and {free / GIB:.0f} GiB are free.")
        return
    from gpusmote.backends import Backend

    values = tables.on_device(run, v, d, np.float32)
    base = run.xp.arange(v)[::-1].copy()
    neighbour = (base + 12_345) % v
    gap = run.xp.full(m, 0.375)
    out = run.xp.full((m, d), run.xp.nan, np.float32)
    run.backend.interpolate(values, base, neighbour, gap, out)
    edge = min(2**31 // d, v - 2)  # the row in which value 2**31 lies
    some = np.unique(
        np.clip([0, 1, m // 2, edge - 1, edge, edge + 1, m - 2, m - 1, *range(7, m, max(1, m // 500))], 0, m - 1)
    )
    pick = run.xp.asarray(some)
    low, high, place = values[base[pick]].get(), values[neighbour[pick]].get(), np.arange(len(some))
    expected = np.empty((len(some), d), np.float32)
    Backend().interpolate(np.concatenate([low, high]), place, place + len(some), gap[pick].get(), expected)
    run.result(rows=m, d=d, values=m * d, compared=len(some))
    run.check("rows on both sides of value 2^31 are right", out[pick].get().tobytes() == expected.tobytes())
    written = all(not bool(run.xp.isnan(out[i : i + 4_000_000]).any()) for i in range(0, m, 4_000_000))
    run.check("every value was written", written)
    last = run.xp.asarray(np.array([v - 1, v - 2]))
    found = run.backend.rerank(values, last, run.xp.asarray(np.array([[0, v - 1], [edge, 1]])))
    near = values[run.xp.asarray(np.array([v - 1, v - 2, 0, edge, 1]))].get()
    expected = Backend().rerank(near, np.array([0, 1]), np.array([[2, 0], [3, 4]]))
    run.check("distances of rows beyond value 2^31 are right", found.get().tobytes() == expected.tobytes())
