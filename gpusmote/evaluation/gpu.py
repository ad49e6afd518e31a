"""How fast a CUDA device is, and how much of its memory calls take: ``python -m gpusmote.evaluation --gpu``."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import shutil
import subprocess
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
"""Rows that bare FAISS is asked for: as many as the certified search asks of it for 5 neighbors."""
AIM_COPY, FROM_COLUMNS = 0.85, 32
"""The least share of a copy's bandwidth that is aimed at for the kernel that makes rows, from so many columns on."""
AIM_FAISS = 1.10
"""The most that is aimed at for the seconds of the certified search over those of bare FAISS."""
LONGEST = 15.0
"""Seconds; a call that is expected to take more is left out."""
GIB = 1 << 30

Row = dict[str, Any]


class DeviceBench:
    """The device that is measured, and what has been found.

    Parameters
    ----------
    quick : bool
        Small tables, which show that everything works; their figures mean little.
    path : path, optional
        JSON file. It is replaced after each finding, so that it is whole whenever the process ends.
    """

    def __init__(self, quick: bool, path: Path | None) -> None:
        self.quick, self._path = quick, path
        self.backend = CudaBackend(0)
        self.xp = self.backend.xp
        self.rng = np.random.default_rng(0)
        self.found: dict[str, Any] = {"machine": {}, "results": {}, "checks": [], "notes": []}

    def size(self, full: int, quick: int) -> int:
        """A number of rows or bytes, full or for small tables."""
        return quick if self.quick else full

    def machine(self, facts: dict[str, str]) -> None:
        """What the figures depend on."""
        self.found["machine"] = facts
        self._write()

    def result(self, measurement: str, row: Row) -> Row:
        """A row of figures, kept to four digits."""
        row = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}
        self.found["results"].setdefault(measurement, []).append(row)
        self._write()
        return row

    def check(self, what: str, held: bool, detail: str = "") -> None:
        """Something that must hold on every device."""
        self._judge(what, bool(held), detail, aim=False)

    def aim(self, what: str, value: float, bound: float, *, at_least: bool) -> None:
        """A figure that is aimed at; those of small tables are not judged."""
        if not self.quick:
            held = bool(value >= bound if at_least else value <= bound)
            self._judge(
                what, held, f"{value:.3g}, aimed at {'at least' if at_least else 'at most'} {bound:g}", aim=True
            )

    def note(self, text: str) -> None:
        """Something that a reader of the figures must know."""
        self.found["notes"].append(text)
        self._write()

    def timed(self, work: Callable[[], Any], turns: int = 7, longest: float = 3.0) -> tuple[float, Any]:
        """Median seconds of a call between two events of the device, and what the last call returned.

        Parameters
        ----------
        work : callable
        turns : int
            Calls that count, at most; one before them does not.
        longest : float
            Seconds after which no further call starts.
        """
        from cupyx.profiler import benchmark

        returned = None

        def call() -> None:
            nonlocal returned
            returned = None  # so that the last output is not held beside the next
            returned = work()

        taken = benchmark(call, n_repeat=self.size(turns, 1), n_warmup=1, max_duration=longest)
        return float(np.median(taken.gpu_times)), returned

    def seconds(self, work: Callable[[], Any], turns: int = 7, longest: float = 3.0) -> float:
        """See :meth:`timed`."""
        return self.timed(work, turns, longest)[0]

    def table(self, n: int, d: int, dtype: Any = np.float32, block: int | None = None) -> Any:
        """n x d normally distributed values on the device, or a block of so many rows again and again."""
        block = min(n, block or n)
        some = self.xp.asarray(self.rng.standard_normal((block, d), np.dtype(dtype)))
        if block == n:
            return some
        values = self.xp.empty((n, d), dtype)
        for start in range(0, n, block):
            values[start : start + block] = some[: min(block, n - start)]
        return values

    def _judge(self, what: str, held: bool, detail: str, *, aim: bool) -> None:
        self.found["checks"].append({"what": what, "held": held, "detail": detail, "aim": aim})
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            part = self._path.with_name(f"{self._path.name}.part")
            part.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
            os.replace(part, self._path)


def run(*, gpu: str = "", quick: bool = False, path: Path | None = None) -> int:
    """Measure, print a Markdown table for each measurement as it grows, perhaps write a file.

    Parameters
    ----------
    gpu : str, default=""
        Names of :data:`MEASUREMENTS` with commas between; all of them if empty.
    quick : bool, default=False
        Only small tables, to see that everything works.
    path : path, optional
        JSON file for the machine, the figures, the checks of results, and notes.

    Returns
    -------
    int
        1 if a result was wrong, else 0. A figure that falls short of what is aimed at is no error.

    Raises
    ------
    ParameterError
        If there is no such measurement.
    DeviceError
        If there is no CUDA device to use.
    """
    names = gpu.split(",") if gpu else list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise ParameterError(f"There is no measurement {unknown[0]!r}.", f"There are {', '.join(MEASUREMENTS)}.")
    look = detect.look()
    if not look.usable:
        raise DeviceError(f"No CUDA device can be used ({look}).", detect.INSTALL)
    on = DeviceBench(quick, path)
    on.machine(machine(on.xp))
    print("\n".join(f"{name}: {value}" for name, value in on.found["machine"].items()), flush=True)
    for name in names:
        print(f"\n{name}: {MEASUREMENTS[name].__doc__}\n", flush=True)
        found = map(functools.partial(on.result, name), MEASUREMENTS[name](on))
        for columns, rows in itertools.groupby(found, tuple):
            benchmark.print_table(tuple((column, functools.partial(_cell, column)) for column in columns), rows)
    missed = [check for check in on.found["checks"] if not check["held"]]
    print("", *on.found["notes"], sep="\n")
    print(*(f"{'short of' if c['aim'] else 'WRONG'}: {c['what']} ({c['detail']})" for c in missed), sep="\n")
    return int(any(not check["aim"] for check in missed))


def _cell(column: str, row: Row) -> str:
    value = row[column]
    return "-" if value is None else str(value) if isinstance(value, str) else f"{value:,.12g}"


def machine(xp: Any) -> dict[str, str]:
    """The device, its driver and the versions that the figures depend on, and what :func:`benchmark.machine` tells."""
    found, runtime = detect.look(), xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    free, total = xp.cuda.Device(0).mem_info
    return {
        "device": properties["name"].decode(),
        "compute capability": f"{properties['major']}.{properties['minor']}",
        "device memory": f"{total / GIB:.1f} GiB, {free / GIB:.1f} free",
        "driver": f"{_driver()}, for CUDA {_dotted(runtime.driverGetVersion())}",
        "CUDA": f"{_dotted(runtime.runtimeGetVersion())}, NVRTC {found.nvrtc}",
        "CuPy": found.cupy,
        "FAISS": found.faiss,
        **benchmark.machine(),
    }


def _dotted(version: int) -> str:
    return f"{int(version) // 1000}.{int(version) % 1000 // 10}"


def _driver() -> str:
    """Version of the NVIDIA driver, which only its own tool tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() or "unknown"


def limits(on: DeviceBench) -> Iterator[Row]:
    """The most that the device does: copies, float32 products, transfers."""
    yield {"limit": "copy on the device, bytes read and written", "value": _copy_rate(on) / 1e9, "unit": "GB/s"}
    n = on.size(8192, 64)
    a, b, c = on.table(n, n), on.table(n, n), on.xp.empty((n, n), np.float32)
    seconds = on.seconds(lambda: on.xp.matmul(a, b, out=c))
    yield {"limit": "float32 matrix product", "value": 2 * n**3 / seconds / 1e12, "unit": "TFLOP/s"}
    size = on.size(256 << 20, 1 << 16)
    sent, device = np.frombuffer(on.rng.bytes(size), np.uint8), on.xp.empty(size, np.uint8)
    pinned = np.frombuffer(on.xp.cuda.alloc_pinned_memory(size), np.uint8, size)
    for name, host in (("pinned", pinned), ("pageable", np.empty(size, np.uint8))):
        host[:] = sent
        up = on.seconds(functools.partial(device.set, host))
        down = on.seconds(functools.partial(device.get, out=host))
        yield {"limit": f"host to device, {name}", "value": size / up / 1e9, "unit": "GB/s"}
        yield {"limit": f"device to host, {name}", "value": size / down / 1e9, "unit": "GB/s"}
        on.check(f"what came back to {name} memory is what was sent", bool((host == sent).all()))


def _copy_rate(on: DeviceBench) -> float:
    """Bytes read and written a second by the device's own copy of 1 GiB, far more than its cache holds."""
    source = on.table(on.size(1 << 22, 1 << 8), 64, block=1 << 18)
    target = on.xp.empty_like(source)
    return float(2 * source.nbytes / on.seconds(lambda: on.xp.copyto(target, source)))


def generation(on: DeviceBench) -> Iterator[Row]:
    """The kernel that makes rows, against a plain copy; m rows of d values of s bytes move m (3 d s + 24) bytes."""
    copy = _copy_rate(on)
    for dtype, d in itertools.product((np.float32, np.float64), (8, 32, 64, 128, 512)):
        name, item = np.dtype(dtype).name, np.dtype(dtype).itemsize
        n, m = on.size((512 << 20) // (d * item), 40), on.size(GIB // (d * item), 90)  # beyond any cache
        values, out = on.table(n, d, dtype, block=(16 << 20) // d), on.xp.empty((m, d), dtype)
        base, gap = on.backend.draw(random_stream.class_key((5,), 1), 0, m, n)
        neighbor, _ = on.backend.draw(random_stream.class_key((6,), 1), 0, m, n)
        seconds = on.seconds(functools.partial(on.backend.interpolate, values, base, neighbor, gap, out))
        moved = m * (3 * d * item + 24) / seconds
        rates = {"rows_per_s": m / seconds, "GB_per_s": moved / 1e9, "share_of_copy": moved / copy}
        yield {"dtype": name, "columns": d, "rows": m, "ms": seconds * 1e3, **rates}
        some = np.unique([0, 1, m - 1, *on.rng.integers(0, m, 500)])
        pick, place, expected = on.xp.asarray(some), np.arange(len(some)), np.empty((len(some), d), dtype)
        ends = np.concatenate([values[base[pick]].get(), values[neighbor[pick]].get()])
        Backend().interpolate(ends, place, place + len(some), gap[pick].get(), expected)
        on.check(f"{name} x {d}: rows are those of the CPU", out[pick].get().tobytes() == expected.tobytes())
        if d >= FROM_COLUMNS:
            on.aim(f"{name} x {d}: share of the copy's bandwidth", moved / copy, AIM_COPY, at_least=True)


def search(on: DeviceBench) -> Iterator[Row]:
    """The certified search from rows on the device to neighbors on the device, against bare FAISS."""
    faiss, why = detect.faiss_gpu()
    if faiss is None:
        on.note(f"FAISS cannot be used here ({why}): gpusmote searches by tiles in CuPy.")
    for kind, full, d in (("normal", 10**5, 32), ("normal", 10**6, 64), ("clusters", 10**5, 32), ("ties", 10**5, 4)):
        n = on.size(full, 400)
        values = on.table(n, d)
        if kind == "clusters":
            values[::2] += 10_000
        elif kind == "ties":
            on.xp.rint(values, out=values)
        asked = on.xp.arange(0, n, 20)
        pace = on.seconds(functools.partial(_nearest, on, values, asked), 1) / len(asked)
        m = min(n, int(4 / pace))  # all rows are queries, or as many as take four seconds
        asked = on.xp.arange(m) * (n // m)
        seconds, (near, report) = on.timed(functools.partial(_nearest, on, values, asked), 3, 8.0)
        some = on.rng.choice(m, 3, replace=False)
        held = _exact(values.get(), asked.get()[some], near.get()[some])
        on.check(f"{n:,} x {d}, {kind}: the neighbors are those of brute force", held)
        bare = None
        if faiss is not None:
            queries, distances = values[asked], on.xp.empty((m, FAISS_K), np.float32)
            indices = on.xp.empty((m, FAISS_K), np.int64)
            bare = on.seconds(functools.partial(bf_knn, faiss, on.xp, 0, values, queries, distances, indices), 3, 8.0)
            if kind == "normal":
                on.aim(f"{n:,} x {d}: seconds over those of bare FAISS", seconds / bare, AIM_FAISS, at_least=False)
        passes = (report.certified_first, report.certified_second, report.certified_last)
        shares = {f"pass_{number}": count / m for number, count in enumerate(passes, 1)}
        yield {"data": kind, "rows": n, "columns": d, "queries": m, "seconds": seconds, "bare_FAISS_s": bare, **shares}


def _nearest(on: DeviceBench, values: Any, asked: Any) -> tuple[Any, SearchReport]:
    report = SearchReport()
    return NeighborSearch(on.backend, values, report).nearest(asked, benchmark.NEIGHBORS), report


def _exact(values: np.ndarray, rows: np.ndarray, near: np.ndarray) -> bool:
    """Whether these are the rows' neighbors by every distance in float64, ties to the lower row."""
    columns = np.ascontiguousarray(values.T)
    for row, found in zip(rows, near, strict=True):
        distance = np.zeros(len(values))
        for column in columns:
            distance += np.subtract(column, column[row], dtype=np.float64) ** 2
        distance[row] = np.inf
        if (np.argsort(distance, kind="stable")[: len(found)] != found).any():
            return False
    return True


def smote(on: DeviceBench) -> Iterator[Row]:
    """SMOTE().fit_resample from arrays on the host and on the device; imbalanced-learn on this machine's CPU."""
    theirs, pace = None, 0.0  # imbalanced-learn's seconds for the square of the rows
    try:
        theirs = benchmark.warmed_up()
    except MissingPackageError as error:
        on.note(str(error))
    for full in (20_000, 100_000, 1_000_000):
        n = on.size(full, full // 1000)
        X, y = benchmark.Case(n, COLUMNS, "float32").table()
        seconds, made, stages = {}, {}, {}
        for name, table in (("host", X), ("device", on.xp.asarray(X))):
            sampler = SMOTE(random_state=0, device="cuda")
            seconds[name], (made[name], _) = on.timed(functools.partial(sampler.fit_resample, table, y), 5, 5.0)
            stages = {f"{stage}_s": value for stage, value in sampler.report_.seconds.items()}
        same = bool((on.xp.asarray(made.pop("host")) == made.pop("device")).all())
        on.check(f"{n:,} x {COLUMNS}: the same rows from the host and from the device", same)
        other = None
        if theirs is not None and pace * n**2 < LONGEST:
            other = on.seconds(functools.partial(theirs().fit_resample, X, y), 1)
            pace = other / n**2
        total = {f"from_{name}_s": value for name, value in seconds.items()}
        yield {"rows": n, "columns": COLUMNS, "imbalanced_learn_s": other, **total, **stages}


def memory(on: DeviceBench) -> Iterator[Row]:
    """The most MiB that SMOTE().fit_resample takes of the device."""
    pool = on.xp.get_default_memory_pool()

    class Peak(on.xp.cuda.MemoryHook):  # type: ignore[name-defined]
        name, most = "gpusmote-peak", 0

        def malloc_postprocess(self, **size: int) -> None:
            self.most = max(self.most, pool.used_bytes())

    for full in (100_000, 400_000):
        n = on.size(full, full // 500)
        X, y = benchmark.Case(n, 64, "float32").table()
        for (name, table), limit in itertools.product((("host", X), ("device", on.xp.asarray(X))), (None, GIB)):
            sampler = SMOTE(random_state=0, device="cuda", memory_limit=limit)
            pool.free_all_blocks()
            held, free = pool.used_bytes(), on.xp.cuda.Device(0).mem_info[0]
            case = f"{n:,} x 64 from the {name}"
            try:
                with Peak() as peak:
                    sampler.fit_resample(table, y)
            except MemoryLimitError as error:
                on.note(f"{case}, memory_limit of 1 GiB: {error}")
                continue
            arrays = max(0, peak.most - held)
            kept = free - on.xp.cuda.Device(0).mem_info[0]  # by CuPy's pool and by FAISS
            sizes = {"arrays": arrays, "kept_after": kept, "estimate": sampler.report_.bytes["total"], "limit": limit}
            yield {"case": case, **{what: None if size is None else size / (1 << 20) for what, size in sizes.items()}}
            if limit is not None:
                on.check(f"{case}: CuPy's arrays keep within memory_limit", arrays <= limit, f"{arrays:,} bytes")


def growth(on: DeviceBench) -> Iterator[Row]:
    """How the seconds of SMOTE().fit_resample grow with the rows, from arrays on the device."""
    before: tuple[int, float] | None = None
    for full in (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 4_000_000):
        n = on.size(full, full // 5000)
        if before is not None and before[1] * (n / before[0]) ** 2 > LONGEST:
            on.note(f"{counted(n, 'row')} were left out: at the square of the rows they would take over {LONGEST:g} s.")
            return
        X, y = on.table(3 * n, COLUMNS), np.repeat([0, 1], [2 * n, n])
        seconds, (made, _) = on.timed(functools.partial(SMOTE(random_state=0, device="cuda").fit_resample, X, y), 1)
        exponent = None if before is None else math.log(seconds / before[1]) / math.log(n / before[0])
        yield {"minority_rows": n, "columns": COLUMNS, "seconds": seconds, "exponent": exponent}
        whole = made.shape == (4 * n, COLUMNS) and bool(on.xp.isfinite(made[3 * n :]).all())
        on.check(f"{counted(n, 'row')}: as many new rows as were asked for, all of them numbers", whole)
        before = n, seconds


MEASUREMENTS: dict[str, Callable[[DeviceBench], Iterator[Row]]] = {
    measure.__name__: measure for measure in (limits, generation, search, smote, memory, growth)
}
"""What ``--gpu`` measures, in this order."""
