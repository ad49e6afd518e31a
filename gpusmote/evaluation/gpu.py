"""Speed and memory on a CUDA device: ``python -m gpusmote.evaluation --gpu``."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpusmote import random_stream
from gpusmote.backends import Backend, detect
from gpusmote.backends.cuda import CudaBackend
from gpusmote.errors import DeviceError, MemoryLimitError, MissingPackageError, ParameterError
from gpusmote.evaluation import benchmark
from gpusmote.messages import counted
from gpusmote.neighbors import NeighborSearch, SearchReport
from gpusmote.neighbors.gpu.faiss_gpu import bf_knn
from gpusmote.over_sampling import SMOTE

__all__ = ["MEASUREMENTS", "run"]

COLUMNS = 32
FAISS_K = 32
"""Number of neighbors in plain FAISS searches; the certified search requests as many for 5 neighbors."""
AIM_COPY, FROM_COLUMNS = 0.85, 32
"""Target of the kernel that makes rows: the fraction of the copy bandwidth, from this number of columns on."""
AIM_FAISS = 1.10
"""Target of the certified search: its seconds divided by those of plain FAISS."""
LONGEST = 15.0
"""Seconds; calls that are expected to take longer are skipped."""
GIB = 1 << 30

Row = dict[str, Any]


class DeviceBench:
    """A device and the results of its measurements.

    Parameters
    ----------
    quick : bool
        Whether to use small tables, to test the benchmark; their results have little meaning.
    path : path, optional
        JSON file for the results. It is replaced atomically after each result.
    """

    def __init__(self, quick: bool, path: Path | None) -> None:
        self.quick, self._path = quick, path
        self.backend = CudaBackend(0)
        self.xp = self.backend.xp
        self.rng = np.random.default_rng(0)
        self.found: dict[str, Any] = {"machine": machine(self.xp), "results": {}, "checks": [], "notes": []}
        self._write()

    def size(self, full: int, quick: int) -> int:
        """``quick`` if small tables are used, else ``full``."""
        return quick if self.quick else full

    def result(self, measurement: str, row: Row) -> Row:
        """Record a row of results, with floats rounded to four digits."""
        row = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}
        self.found["results"].setdefault(measurement, []).append(row)
        self._write()
        return row

    def check(self, what: str, held: bool, detail: str = "", *, aim: bool = False) -> None:
        """Record a check that must pass on every device, or a target (``aim``) that a full table should meet."""
        if not (aim and self.quick):
            self.found["checks"].append({"what": what, "held": bool(held), "detail": detail, "aim": aim})
            self._write()

    def note(self, text: str) -> None:
        """Record a note for readers of the results."""
        self.found["notes"].append(text)
        self._write()

    def timed(self, work: Callable[[], Any], turns: int = 7, longest: float = 3.0) -> tuple[float, Any]:
        """Measure the median time of a call between two CUDA events.

        Parameters
        ----------
        work : callable
        turns : int
            Maximum number of measured calls, after one call that is not measured.
        longest : float
            Seconds after which no more calls are started.

        Returns
        -------
        seconds : float
        returned : object
            The result of the last call.
        """
        from cupyx.profiler import benchmark

        returned = None

        def call() -> None:
            nonlocal returned
            returned = None  # release the last result before the next is made
            returned = work()

        taken = benchmark(call, n_repeat=self.size(turns, 1), n_warmup=1, max_duration=longest)
        return float(np.median(taken.gpu_times)), returned

    def seconds(self, work: Callable[[], Any], turns: int = 7, longest: float = 3.0) -> float:
        """See :meth:`timed`."""
        return self.timed(work, turns, longest)[0]

    def table(self, n: int, d: int, dtype: Any = np.float32, block: int | None = None) -> Any:
        """n x d normally distributed values on the device; with ``block``, that many rows are repeated."""
        some = self.xp.asarray(self.rng.standard_normal((min(n, block or n), d), np.dtype(dtype)))
        return some if len(some) == n else some[self.xp.arange(n) % len(some)]

    def _write(self) -> None:
        if self._path is not None:
            part = self._path.with_name(f"{self._path.name}.part")
            part.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
            os.replace(part, self._path)


def run(*, gpu: str = "", quick: bool = False, path: Path | None = None) -> int:
    """Run measurements and print each as a Markdown table, row by row.

    Parameters
    ----------
    gpu : str, default=""
        Comma-separated names of :data:`MEASUREMENTS`; empty for all.
    quick : bool, default=False
        Whether to use only small tables, to test the benchmark.
    path : path, optional
        JSON file for the machine, the results, the checks and the notes.

    Returns
    -------
    int
        1 if a check failed, else 0. A missed target does not count.

    Raises
    ------
    ParameterError
        If a measurement does not exist.
    DeviceError
        If no CUDA device can be used.
    """
    names = gpu.split(",") if gpu else list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise ParameterError(f"There is no measurement {unknown[0]!r}.", f"There are {', '.join(MEASUREMENTS)}.")
    look = detect.look()
    if not look.usable:
        raise DeviceError(f"No CUDA device can be used ({look}).", detect.INSTALL)
    bench = DeviceBench(quick, path)
    benchmark.print_facts(bench.found["machine"])
    for name in names:
        print(f"{name}: {MEASUREMENTS[name].__doc__}\n", flush=True)
        found = map(functools.partial(bench.result, name), MEASUREMENTS[name](bench))
        for columns, rows in itertools.groupby(found, tuple):
            benchmark.print_table(tuple((column, functools.partial(_cell, column)) for column in columns), rows)
        print()
    missed = [check for check in bench.found["checks"] if not check["held"]]
    print(*bench.found["notes"], sep="\n")
    print(*(f"{'TARGET MISSED' if c['aim'] else 'WRONG'}: {c['what']} ({c['detail']})" for c in missed), sep="\n")
    return int(any(not check["aim"] for check in missed))


def _cell(column: str, row: Row) -> str:
    value = row[column]
    return "-" if value is None else str(value) if isinstance(value, str) else f"{value:,.12g}"


def machine(xp: Any) -> dict[str, str]:
    """Describe the device, its driver and the versions of CUDA, CuPy and FAISS; includes :func:`benchmark.machine`."""
    found, runtime = detect.look(), xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    free, total = xp.cuda.Device(0).mem_info
    driver = Path("/proc/driver/nvidia/version")
    return {
        "device": properties["name"].decode(),
        "compute capability": f"{properties['major']}.{properties['minor']}",
        "device memory": f"{total / GIB:.1f} GiB, {free / GIB:.1f} free",
        "driver": driver.read_text().splitlines()[0] if driver.exists() else "unknown",
        "CUDA": f"{_dotted(runtime.runtimeGetVersion())}, driver for {_dotted(runtime.driverGetVersion())}, "
        f"NVRTC {found.nvrtc}",
        "CuPy": found.cupy,
        "FAISS": found.faiss,
        **benchmark.machine(),
    }


def _dotted(version: int) -> str:
    return f"{int(version) // 1000}.{int(version) % 1000 // 10}"


def limits(bench: DeviceBench) -> Iterator[Row]:
    """The limits of the device: copies, float32 matrix products, transfers."""
    yield {"limit": "copy on the device, bytes read and written", "value": _copy_rate(bench) / 1e9, "unit": "GB/s"}
    n = bench.size(8192, 64)
    a, b, c = bench.table(n, n), bench.table(n, n), bench.xp.empty((n, n), np.float32)
    seconds = bench.seconds(lambda: bench.xp.matmul(a, b, out=c))
    yield {"limit": "float32 matrix product", "value": 2 * n**3 / seconds / 1e12, "unit": "TFLOP/s"}
    size = bench.size(256 << 20, 1 << 16)
    sent, device = np.frombuffer(bench.rng.bytes(size), np.uint8), bench.xp.empty(size, np.uint8)
    pinned = np.frombuffer(bench.xp.cuda.alloc_pinned_memory(size), np.uint8, size)
    for name, host in (("pinned", pinned), ("pageable", np.empty(size, np.uint8))):
        host[:] = sent
        up = bench.seconds(functools.partial(device.set, host))
        down = bench.seconds(functools.partial(device.get, out=host))
        yield {"limit": f"host to device, {name}", "value": size / up / 1e9, "unit": "GB/s"}
        yield {"limit": f"device to host, {name}", "value": size / down / 1e9, "unit": "GB/s"}
        bench.check(f"data copied to the device and back to {name} memory are unchanged", bool((host == sent).all()))


def _copy_rate(bench: DeviceBench) -> float:
    """Bytes per second, read plus written, of a copy of 1 GiB on the device, which is far more than its cache."""
    source = bench.table(bench.size(1 << 22, 1 << 8), 64, block=1 << 18)
    target = bench.xp.empty_like(source)
    return float(2 * source.nbytes / bench.seconds(lambda: bench.xp.copyto(target, source)))


def generation(bench: DeviceBench) -> Iterator[Row]:
    """The kernel that makes rows, compared with a copy; m rows of d values of s bytes move m (3 d s + 24) bytes."""
    copy = _copy_rate(bench)
    for dtype, d in itertools.product((np.float32, np.float64), (8, 32, 64, 128, 512)):
        name, item = np.dtype(dtype).name, np.dtype(dtype).itemsize
        n, m = bench.size((512 << 20) // (d * item), 40), bench.size(GIB // (d * item), 90)  # larger than any cache
        values, out = bench.table(n, d, dtype, block=(16 << 20) // d), bench.xp.empty((m, d), dtype)
        base, gap = bench.backend.draw(random_stream.class_key((5,), 1), 0, m, n)
        neighbor, _ = bench.backend.draw(random_stream.class_key((6,), 1), 0, m, n)
        seconds = bench.seconds(functools.partial(bench.backend.interpolate, values, base, neighbor, gap, out))
        moved = m * (3 * d * item + 24) / seconds
        rates = {"rows_per_s": m / seconds, "GB_per_s": moved / 1e9, "share_of_copy": moved / copy}
        yield {"dtype": name, "columns": d, "rows": m, "ms": seconds * 1e3, **rates}
        some = np.unique([0, 1, m - 1, *bench.rng.integers(0, m, 500)])
        pick, place, expected = bench.xp.asarray(some), np.arange(len(some)), np.empty((len(some), d), dtype)
        ends = np.concatenate([values[base[pick]].get(), values[neighbor[pick]].get()])
        Backend().interpolate(ends, place, place + len(some), gap[pick].get(), expected)
        bench.check(f"{name} x {d}: rows equal those of the CPU", out[pick].get().tobytes() == expected.tobytes())
        if d >= FROM_COLUMNS:
            detail = f"{moved / copy:.3g}, target at least {AIM_COPY:g}"
            bench.check(f"{name} x {d}: fraction of the copy bandwidth", moved / copy >= AIM_COPY, detail, aim=True)


def search(bench: DeviceBench) -> Iterator[Row]:
    """The certified search on the device, compared with plain FAISS."""
    faiss, why = detect.faiss_gpu()
    if faiss is None:
        bench.note(f"FAISS cannot be used here ({why}); gpusmote searches with CuPy.")
    for kind, full, d in (("normal", 10**5, 32), ("normal", 10**6, 64), ("clusters", 10**5, 32), ("ties", 10**5, 4)):
        n = bench.size(full, 400)
        values = bench.table(n, d)
        if kind == "clusters":
            values[::2] += 10_000
        elif kind == "ties":
            bench.xp.rint(values, out=values)
        asked = bench.xp.arange(0, n, 20)
        pace = bench.seconds(functools.partial(_nearest, bench, values, asked), 1) / len(asked)
        m = min(n, int(4 / pace))  # number of queries: all rows, or as many as take four seconds
        asked = bench.xp.arange(m) * (n // m)
        seconds, (near, report) = bench.timed(functools.partial(_nearest, bench, values, asked), 3, 8.0)
        some = bench.rng.choice(m, 3, replace=False)
        on_host = NeighborSearch(Backend(), values.get(), SearchReport())
        held = on_host.nearest(asked.get()[some], benchmark.NEIGHBORS) == near.get()[some]
        bench.check(f"{n:,} x {d}, {kind}: the neighbors equal those of the CPU", held.all())
        bare = None
        if faiss is not None:
            queries, distances = values[asked], bench.xp.empty((m, FAISS_K), np.float32)
            indices = bench.xp.empty((m, FAISS_K), np.int64)
            bare = bench.seconds(
                functools.partial(bf_knn, faiss, bench.xp, 0, values, queries, distances, indices), 3, 8.0
            )
            if kind == "normal":
                detail = f"{seconds / bare:.3g}, target at most {AIM_FAISS:g}"
                bench.check(f"{n:,} x {d}: time relative to plain FAISS", seconds / bare <= AIM_FAISS, detail, aim=True)
        passes = (report.certified_first, report.certified_second, report.certified_last)
        shares = {f"pass_{number}": count / m for number, count in enumerate(passes, 1)}
        yield {"data": kind, "rows": n, "columns": d, "queries": m, "seconds": seconds, "bare_FAISS_s": bare, **shares}


def _nearest(bench: DeviceBench, values: Any, asked: Any) -> tuple[Any, SearchReport]:
    report = SearchReport()
    return NeighborSearch(bench.backend, values, report).nearest(asked, benchmark.NEIGHBORS), report


def smote(bench: DeviceBench) -> Iterator[Row]:
    """SMOTE().fit_resample of arrays on the host and on the device, and imbalanced-learn on the CPU of the machine."""
    theirs, pace = None, 0.0  # seconds of imbalanced-learn divided by the square of the number of rows
    try:
        theirs = benchmark.imblearn_smote()
    except MissingPackageError as error:
        bench.note(str(error))
    for full in (20_000, 100_000, 1_000_000):
        n = bench.size(full, full // 1000)
        X, y = benchmark.Case(n, COLUMNS, "float32").table()
        seconds, made, stages = {}, {}, {}
        for name, table in (("host", X), ("device", bench.xp.asarray(X))):
            sampler = SMOTE(random_state=0, device="cuda")
            seconds[name], (made[name], _) = bench.timed(functools.partial(sampler.fit_resample, table, y), 5, 5.0)
            stages = {f"{stage}_s": value for stage, value in sampler.report_.seconds.items()}
        same = bool((bench.xp.asarray(made.pop("host")) == made.pop("device")).all())
        bench.check(f"{n:,} x {COLUMNS}: the same rows for arrays on the host and on the device", same)
        other = None
        if theirs is not None and pace * n**2 < LONGEST:
            other = bench.seconds(functools.partial(theirs.fit_resample, X, y), 1)
            pace = other / n**2
        total = {f"from_{name}_s": value for name, value in seconds.items()}
        yield {"rows": n, "columns": COLUMNS, "imbalanced_learn_s": other, **total, **stages}


def memory(bench: DeviceBench) -> Iterator[Row]:
    """Peak device memory of SMOTE().fit_resample in MiB."""
    pool = bench.xp.get_default_memory_pool()

    class Peak(bench.xp.cuda.MemoryHook):  # type: ignore[name-defined]
        name, most = "gpusmote-peak", 0

        def malloc_postprocess(self, **size: int) -> None:
            self.most = max(self.most, pool.used_bytes())

    for full in (100_000, 400_000):
        n = bench.size(full, full // 500)
        X, y = benchmark.Case(n, 64, "float32").table()
        for (name, table), limit in itertools.product((("host", X), ("device", bench.xp.asarray(X))), (None, GIB)):
            sampler = SMOTE(random_state=0, device="cuda", memory_limit=limit)
            pool.free_all_blocks()
            held, free = pool.used_bytes(), bench.xp.cuda.Device(0).mem_info[0]
            case = f"{n:,} x 64 from the {name}"
            try:
                with Peak() as peak:
                    sampler.fit_resample(table, y)
            except MemoryLimitError as error:
                bench.note(f"{case}, memory_limit of 1 GiB: {error}")
                continue
            arrays = max(0, peak.most - held)
            kept = free - bench.xp.cuda.Device(0).mem_info[0]  # in CuPy's pool and by FAISS
            sizes = {"arrays": arrays, "kept_after": kept, "estimate": sampler.report_.bytes["total"], "limit": limit}
            yield {"case": case, **{what: None if size is None else size / (1 << 20) for what, size in sizes.items()}}
            if limit is not None:
                bench.check(f"{case}: CuPy's arrays stay within memory_limit", arrays <= limit, f"{arrays:,} bytes")


def growth(bench: DeviceBench) -> Iterator[Row]:
    """Time of SMOTE().fit_resample by number of rows, for arrays on the device."""
    before: tuple[int, float] | None = None
    for full in (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 4_000_000):
        n = bench.size(full, full // 5000)
        if before is not None and before[1] * (n / before[0]) ** 2 > LONGEST:
            bench.note(f"{counted(n, 'row')} were skipped: with quadratic growth they would take over {LONGEST:g} s.")
            return
        X, y = bench.table(3 * n, COLUMNS), np.repeat([0, 1], [2 * n, n])
        seconds, (made, _) = bench.timed(functools.partial(SMOTE(random_state=0, device="cuda").fit_resample, X, y), 1)
        exponent = None if before is None else math.log(seconds / before[1]) / math.log(n / before[0])
        yield {"minority_rows": n, "columns": COLUMNS, "seconds": seconds, "exponent": exponent}
        whole = made.shape == (4 * n, COLUMNS) and bool(bench.xp.isfinite(made[3 * n :]).all())
        bench.check(f"{counted(n, 'row')}: the requested number of new rows, all values finite", whole)
        before = n, seconds


MEASUREMENTS: dict[str, Callable[[DeviceBench], Iterator[Row]]] = {
    measure.__name__: measure for measure in (limits, generation, search, smote, memory, growth)
}
"""The measurements of ``bench --gpu``, in this order."""
