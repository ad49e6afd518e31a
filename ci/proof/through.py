"""A class larger than the device: the rows that it finds, and how much of their way up is hidden by the search."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof import tables
from proof.run import Run

__all__ = ["through"]

K, LIST = 5, 31
HIDDEN = 0.7


def through(run: Run) -> None:
    """Neighbours by rows that go through the device in parts, against the same rows searched at once."""
    _equal(run)
    _overlap(run)


def _equal(run: Run) -> None:
    """Tables on which each of the three passes is reached."""
    from gpusmote.backends import Backend
    from gpusmote.neighbours import Neighbourhood, SearchReport
    from gpusmote.neighbours.pool import Pool

    n = run.size(20_000, 600)
    for last, kind in enumerate(("plain", "clusters 10,000 apart", "copies")):
        values = tables.rows(run.rng, n, 8, np.float32, kind)
        if kind == "copies":  # more equal rows in each part than a list holds
            values[np.arange(n) % 200 > 0] = values[1]
        some = np.arange(0, n, n // run.size(500, 20))
        expected = Neighbourhood(Backend(), values, SearchReport()).nearest(some, K)
        pool = Pool(Backend(), values)
        found, passes = _searched(run, run.backend, pool, some)
        what = f"{kind}, {n:,} rows in parts"
        run.check(f"{what}: the NumPy path's neighbours", found.tobytes() == expected.tobytes())
        run.check(f"{what}: pass {last} is reached, none after it", passes.max() == last)


def _overlap(run: Run) -> None:
    """Seconds of the way up by itself, of the search by itself, and of both."""
    from gpusmote.backends import Backend, transfer
    from gpusmote.neighbours import Neighbourhood, SearchReport
    from gpusmote.neighbours.pool import Pool

    n, d = run.size(1_000_000, 600), 64
    values = tables.rows(run.rng, n, d)
    pool, backend, clock = Pool(Backend(), values), run.backend, run.clock
    there = run.xp.empty(values.shape, values.dtype)

    def read(start: int, stop: int, buffer: np.ndarray) -> None:
        transfer.copy_rows(values[start:stop], buffer)

    up = clock.wall(lambda: transfer.send(run.xp, there, read)).median
    at_once = Neighbourhood(backend, there, SearchReport(), "device")
    hidden = []
    for m in (500, 2_000, 8_000):
        asked = np.arange(run.size(m, m // 100))
        queries = backend.asarray(asked)
        searching = clock.wall(lambda queries=queries: at_once.nearest(queries, K)).median
        both = clock.wall(lambda asked=asked: _searched(run, backend, pool, asked)).median
        found = _searched(run, backend, pool, asked)[0]
        run.check(
            f"{len(asked):,} queries: the same neighbours", np.array_equal(found, at_once.nearest(queries, K).get())
        )
        hidden.append((up + searching - both) / min(up, searching))
        times = {"up": up, "search": searching, "both": both}
        run.result(
            queries=len(asked), rows=n, d=d, **{f"{name}_ms": 1e3 * t for name, t in times.items()}, hidden=hidden[-1]
        )
    run.note("hidden: the share of the shorter of both that the longer one hides; 0 is one after the other.")
    run.goal("the most that is hidden", max(hidden), HIDDEN, at_least=True)


def _searched(run: Run, backend: Any, pool: Any, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By a device that has room for two of ten parts of the rows, and for as many queries."""
    from gpusmote.backends.base import Cut
    from gpusmote.neighbours.through import Through

    backend.cut = Cut(1.0, 0, 2 * pool.n // run.size(10, 4))
    return Through(pool, backend, lambda name: None).nearest(asked, K, LIST)
