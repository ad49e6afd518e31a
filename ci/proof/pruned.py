"""The search that leaves out balls of rows against bare FAISS: where it pays, and that it finds the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof import tables
from proof.limits import product_rate
from proof.run import Run
from proof.search import K, bare

__all__ = ["pruned"]

GOAL = 5.0
TURN = 3.0
ALL_KINDS_TO = 100_000
"""Rows: all pairs of more would be met in vain for seconds."""

SIZES = ((1_000_000, 64), (300_000, 64), (100_000, 64), (1_000_000, 13))


def pruned(run: Run) -> None:
    """All rows are queries: seconds in all, of the order alone, of FAISS; the share of pairs that met."""
    faiss = run.faiss()
    rate = product_rate(run)
    run.note(
        f"Limit: 2 d operations a pair that is met, at {rate / 1e12:.1f} TFLOP/s, a float32 product's in this step. "
        "FAISS is timed with as many queries as fit and its seconds are scaled to all rows; what is met includes what "
        "fills up blocks and leaves, so that its share can exceed 100 %."
    )
    resources = faiss.StandardGpuResources() if faiss is not None else None
    for n, d in SIZES:
        for kind in tables.LOW if n <= ALL_KINDS_TO else tables.LOW[:2]:
            if run.left() < 8:
                run.note(f"{n:,} x {d}, {kind}: no time was left.")
                continue
            _one(run, run.size(n, 300), run.size(d, 8), kind, rate, (faiss, resources), goal=(n, d) == SIZES[0])


def _one(run: Run, n: int, d: int, kind: str, rate: float, other: tuple[Any, Any], *, goal: bool) -> None:
    from gpusmote.neighbours import Neighbourhood, SearchReport
    from gpusmote.neighbours.device_balls import DeviceBalls
    from gpusmote.neighbours.pool import Pool

    xp, values = run.xp, run.xp.asarray(tables.low(run.rng, n, d, kind))
    kept: list[Any] = []

    def work() -> None:
        where = Neighbourhood(run.backend, values, report := SearchReport(), source="pruned-device")
        kept[:] = [where.nearest(None, K), report, where]

    work()  # compiles
    seconds = run.clock.wall(work, turns=3, longest=TURN, warm=False).median
    near, report, where = kept
    pool = Pool(run.backend, values)
    order = run.clock.wall(lambda: DeviceBalls(pool), turns=3, longest=TURN).median
    met = int(where._sources["pruned-device"].pairs)
    some = xp.asarray(np.sort(run.rng.permutation(n)[: max(64, n // 20)]))
    theirs = _faiss(run, values, some, *other)
    run.result(
        **{"data": kind, "rows": n, "d": d, "seconds": seconds, "of_it_order_s": order, "faiss_s": theirs},
        limit_s=2.0 * d * met / rate,
        pairs_met=met / n**2,
        first_pass=report.certified_first / report.queries,
    )
    expected = Neighbourhood(run.backend, values, SearchReport(), source="device").nearest(some, K)
    what = f"{kind}, {n:,} x {d}"
    run.check(f"{what}: the neighbours are those of the other source", bool((near[some] == expected).all()))
    every = report.certified_first + report.certified_second + report.certified_last
    run.check(f"{what}: every query is certified by some pass", every == report.queries)
    if goal and theirs is not None:
        run.goal(f"{what}: bare FAISS's seconds over those of this search", theirs / seconds, GOAL, at_least=True)


def _faiss(run: Run, values: Any, some: Any, faiss: Any, resources: Any) -> float | None:
    """Seconds of bare FAISS for all rows, going by some of them."""
    if faiss is None:
        return None
    queries = values[some]
    taken = run.clock.device(lambda: bare(faiss, run.xp, values, queries, resources), 3, TURN)
    return taken.median * len(values) / len(some)
