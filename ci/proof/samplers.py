"""SMOTE as a user calls it: against imbalanced-learn, and how its cost grows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from proof import tables
from proof.run import Run

__all__ = ["growth", "smote"]

COLUMNS = 32


def smote(run: Run) -> None:
    """Seconds of fit_resample from host and from device arrays, and of imbalanced-learn on this machine's CPU."""
    theirs, pace = _imbalanced_learn(run), 0.0
    for n in (20_000, 100_000, 1_000_000):
        small = run.size(n, min(n // 100, 600))
        X, y = tables.imbalanced(small, COLUMNS)
        seconds: dict[str, float] = {}
        made: dict[str, Any] = {}
        for name, table in (("host arrays", X), ("device arrays", run.xp.asarray(X))):
            seconds[name] = _one(run, name, small, table, y, made)
        run.check(
            f"{small:,} x {COLUMNS}: the same rows from host and from device arrays",
            _same(made["host arrays"], made["device arrays"]),
        )
        made.clear()
        if theirs is None or n == 1_000_000:
            continue
        guess = pace * small**2
        if guess > 0.6 * run.left():
            run.note(f"{small:,} rows: imbalanced-learn would take about {guess:.0f} s and was not waited for.")
            continue
        taken = run.clock.wall(lambda X=X, y=y: theirs().fit_resample(X, y), turns=3, longest=4.0, warm=False).median
        pace = taken / small**2
        ratios = {f"faster_from_{name.split()[0]}": taken / value for name, value in seconds.items()}
        run.result(what="imbalanced-learn", rows=small, seconds=taken, **ratios)


def _one(run: Run, name: str, n: int, X: Any, y: np.ndarray, made: dict[str, Any]) -> float:
    from gpusmote import SMOTE

    sampler = SMOTE(random_state=0, device="cuda")

    def work() -> None:
        made[name] = None  # the last turn's output is not held beside the next
        made[name] = sampler.fit_resample(X, y)[0]

    taken = run.clock.wall(work, turns=5, longest=5.0)
    stages = {f"{stage}_s": value for stage, value in sampler.report_.seconds.items()}
    run.result(what=name, rows=n, seconds=taken.median, spread=taken.spread, **stages)
    run.check(f"{n:,} rows, {name}: on the device", sampler.device_.startswith("cuda"), sampler.report_.reason)
    return taken.median


def _same(host: np.ndarray, device: Any) -> bool:
    """Bits, in blocks, so that no second copy of the table is made."""
    step = max(1, (64 << 20) // host[0].nbytes)
    return host.shape == device.shape and all(
        host[i : i + step].tobytes() == device[i : i + step].get().tobytes() for i in range(0, len(host), step)
    )


def _imbalanced_learn(run: Run) -> Callable[[], Any] | None:
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        run.note("imbalanced-learn is not installed here.")
        return None
    return lambda: SMOTE(k_neighbors=5, random_state=0)


def _whole(run: Run, made: Any, rows: int) -> bool:
    step = 1_000_000
    return len(made) == rows and all(bool(run.xp.isfinite(made[i : i + step]).all()) for i in range(0, rows, step))


def growth(run: Run) -> None:
    """From 1e5 to 4e6 minority rows on the device, as far as there is time; the majority is as large again."""
    from gpusmote import SMOTE

    before: tuple[int, float] | None = None
    for full in (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 4_000_000):
        n = run.size(full, full // 5000)
        if before is not None and 1.2 * before[1] * (n / before[0]) ** 2 > run.left():
            run.note(f"{n:,} rows were not tried: the square of the rows would have taken longer than there was time.")
            return
        X, y = tables.imbalanced(n, COLUMNS, majority=2)
        on_device = run.xp.asarray(X)
        sampler = SMOTE(random_state=0, device="cuda")
        if before is None:
            sampler.fit_resample(on_device[:3000], y[:3000])  # what is loaded once is no part of the growth
        start = time.perf_counter()
        made, _ = sampler.fit_resample(on_device, y)
        run.xp.cuda.get_current_stream().synchronize()
        seconds = time.perf_counter() - start
        exponent = math.log(seconds / before[1]) / math.log(n / before[0]) if before else None
        run.result(minority_rows=n, d=COLUMNS, seconds=seconds, exponent=exponent)
        run.check(f"{n:,} rows: as many rows as were asked for, all of them numbers", _whole(run, made, 4 * n))
        del made
        before = (n, seconds)
