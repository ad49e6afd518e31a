"""Time and memory of SMOTE compared with imbalanced-learn: ``python -m gpusmote.evaluation``."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import threadpoolctl

from gpusmote.backends.threads import n_threads
from gpusmote.backends.versions import version
from gpusmote.errors import GpusmoteError, MissingPackageError
from gpusmote.over_sampling import SMOTE

__all__ = [
    "CASES",
    "QUICK",
    "Case",
    "load",
    "machine",
    "measure_memory",
    "measure_time",
    "print_table",
    "run",
    "warmed_up",
]

MAJORITY = 5
NEIGHBORS = 5
LEAST_SECONDS = 2.0
"""Minimum total time for a table, so that short calls are repeated more often."""
ALLOWANCE = 256 << 20
"""Bytes that a call may need in addition to twice the size of its output."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A table with a minority class and a majority class of five times as many rows.

    Attributes
    ----------
    rows : int
        Number of minority rows.
    columns : int
        Number of columns.
    dtype : str
        "float32" or "float64".
    """

    rows: int
    columns: int
    dtype: str

    majority: ClassVar[int] = MAJORITY
    """Rows of the other class for each of the minority."""

    def __str__(self) -> str:
        return f"{self.rows:,} x {self.columns}"

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """X of shape (6 * rows, columns), normally distributed, and y; the same in each call."""
        rng = np.random.default_rng(self.rows + self.columns)
        X = rng.standard_normal(((1 + self.majority) * self.rows, self.columns), dtype=np.dtype(self.dtype).type)
        y = np.zeros(len(X), np.int64)
        y[rng.permutation(len(X))[: self.rows]] = 1
        return X, y

    @property
    def output_bytes(self) -> int:
        """Size of the resampled X in bytes."""
        return 2 * self.majority * self.rows * self.columns * np.dtype(self.dtype).itemsize


QUICK = (Case(2_000, 8, "float32"), Case(2_000, 32, "float32"), Case(20_000, 8, "float32"))
CASES = (
    *QUICK,
    Case(20_000, 32, "float32"),
    Case(20_000, 32, "float64"),
    Case(20_000, 128, "float32"),
    Case(100_000, 32, "float32"),
)


def run(*, quick: bool = False, repeat: int = 5, memory: bool = False, path: Path | None = None) -> int:
    """Measure time or memory, and print the results as a Markdown table, row by row.

    Parameters
    ----------
    quick : bool, default=False
        Whether to measure only the small tables.
    repeat : int, default=5
        Minimum number of runs of each library for each table; short runs are repeated more often.
    memory : bool, default=False
        Whether to measure peak memory instead of time.
    path : path, optional
        JSON file to write the results to.

    Returns
    -------
    int
        1 if a call needed more memory than allowed, else 0.

    Raises
    ------
    MissingPackageError
        If imbalanced-learn is not installed and ``memory`` is False.
    """
    cases = QUICK if quick else CASES
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n", flush=True)
    if memory:
        print(f"Peak memory of one fit_resample; promised: twice the output + {ALLOWANCE >> 20} MiB.\n")
        results = print_table(_MEMORY_COLUMNS, map(measure_memory, cases))
    else:
        print(f"Seconds of fit_resample, median of {repeat} turns or more; k = {NEIGHBORS}, majority {MAJORITY}x.\n")
        results = print_table(_TIME_COLUMNS, _timed(cases, repeat))
    if path is not None:
        path.write_text(json.dumps({"machine": facts, "results": results}, indent=2) + "\n")
    return int(any(not row.get("kept", True) for row in results))


def _timed(cases: Iterable[Case], repeat: int) -> Iterator[dict[str, Any]]:
    theirs = warmed_up()
    for case in cases:
        yield measure_time(case, theirs, repeat)


def warmed_up() -> Callable[[], Any]:
    """A function that returns imbalanced-learn's sampler; both libraries have been called once, to load their code.

    Raises
    ------
    MissingPackageError
        If imbalanced-learn is not installed.
    """
    try:
        from imblearn import over_sampling
    except ImportError as error:
        raise MissingPackageError(
            "bench needs imbalanced-learn, which is not installed.", 'pip install "gpusmote[bench]"'
        ) from error

    def theirs() -> Any:
        return over_sampling.SMOTE(k_neighbors=NEIGHBORS, random_state=0)

    measure_time(Case(100, 4, "float32"), theirs, 1)
    return theirs


def measure_time(case: Case, theirs: Callable[[], Any], repeat: int) -> dict[str, Any]:
    """Measure both libraries on one table, alternately; the one that runs first changes in each turn.

    Parameters
    ----------
    case : Case
    theirs : callable
        Returns the other sampler.
    repeat : int
        Minimum number of turns.

    Returns
    -------
    dict
        - ``rows``, ``columns``, ``dtype`` of the table;
        - ``gpusmote`` and ``other``: medians in seconds; ``turns``: the number of turns;
        - ``ratio``: the median of the ratios of all turns, above 1 if gpusmote is faster; ``low`` and ``high``: their
          quartiles;
        - ``device``; ``why``: the source of candidates of each search, and the reason.
    """
    X, y = case.table()
    ours = SMOTE(k_neighbors=NEIGHBORS, random_state=0)
    samplers = {"gpusmote": ours, "other": theirs()}
    turns: list[dict[str, float]] = []
    begin = time.perf_counter()
    while len(turns) < repeat or time.perf_counter() - begin < LEAST_SECONDS:
        order = list(samplers) if len(turns) % 2 else list(samplers)[::-1]
        turns.append({name: _seconds(samplers[name], X, y) for name in order})
    ratios = [turn["other"] / turn["gpusmote"] for turn in turns]
    low, ratio, high = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {
        **dataclasses.asdict(case),
        **{name: statistics.median(turn[name] for turn in turns) for name in samplers},
        "turns": len(turns),
        "ratio": ratio,
        "low": low,
        "high": high,
        "device": ours.device_,
        "why": list(ours.report_.search.why),
    }


def _seconds(sampler: Any, X: np.ndarray, y: np.ndarray) -> float:
    start = time.perf_counter()
    sampler.fit_resample(X, y)
    return time.perf_counter() - start


def measure_memory(case: Case) -> dict[str, Any]:
    """Measure the peak memory of one call in a separate process.

    Parameters
    ----------
    case : Case

    Returns
    -------
    dict
        ``rows``, ``columns``, ``dtype`` of the table; in bytes: ``output``, ``extra`` (peak memory during the call,
        including the output, less the memory before the call) and ``allowed``; ``kept``: whether ``extra`` is at most
        ``allowed``.
    """
    argument = json.dumps(dataclasses.asdict(case))
    done = subprocess.run(
        [sys.executable, "-m", "gpusmote.evaluation.benchmark", argument], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise GpusmoteError(f"The process that measured {case} failed.", done.stderr.strip())
    extra = int(done.stdout)
    allowed = 2 * case.output_bytes + ALLOWANCE
    return {
        **dataclasses.asdict(case),
        "output": case.output_bytes,
        "extra": extra,
        "allowed": allowed,
        "kept": extra <= allowed,
    }


def _extra_bytes(case: Case) -> int:
    """Peak memory during one call less the memory before it, in bytes. Must run in a new process."""
    small = Case(100, case.columns, case.dtype)
    SMOTE(random_state=0).fit_resample(*small.table())  # loads libraries, whose memory does not count
    X, y = case.table()
    before = _resident("VmRSS")
    resampled = SMOTE(k_neighbors=NEIGHBORS, random_state=0).fit_resample(X, y)
    after = _resident("VmHWM")
    del resampled  # kept until here, because the output is part of the peak
    return max(0, after - before)


def _resident(field: str) -> int:
    """Resident memory of the process in bytes: current (VmRSS) or peak (VmHWM). Other systems than Linux: the peak."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines[field].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, str]:
    """Describe the machine and the versions of the packages, for the output of a benchmark.

    Returns
    -------
    dict of str to str
        Processor, cores, memory, load, BLAS, versions.
    """
    return {
        "processor": _processor(),
        "cores": f"{n_threads()} used of {os.cpu_count()}",
        "memory": _total_memory(),
        "load before": load(),
        "BLAS": _blas(),
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


def load() -> str:
    """The load average of the last minute; a benchmark itself adds one for each of its threads."""
    return f"{os.getloadavg()[0]:.1f} in the last minute" if hasattr(os, "getloadavg") else "unknown"


_PACKAGES = ("gpusmote", "imbalanced-learn", "scikit-learn", "numpy", "scipy")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def _total_memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


def _blas() -> str:
    """The BLAS libraries that are loaded; the wheels of NumPy and SciPy have one each."""
    return ", ".join(
        sorted(
            f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown')} kernels, "
            f"{library['num_threads']} threads)"
            for library in threadpoolctl.threadpool_info()
            if library["user_api"] == "blas"
        )
    )


Column = tuple[str, Callable[[dict[str, Any]], str]]
_SHAPE: tuple[Column, ...] = (
    ("minority rows x columns", lambda row: f"{row['rows']:,} x {row['columns']}"),
    ("dtype", lambda row: str(row["dtype"])),
)
_TIME_COLUMNS: tuple[Column, ...] = (
    *_SHAPE,
    ("imbalanced-learn", lambda row: f"{row['other']:.3f} s"),
    ("gpusmote", lambda row: f"{row['gpusmote']:.3f} s"),
    ("ratio", lambda row: f"{row['ratio']:.2f}x"),
    ("middle half", lambda row: f"{row['low']:.2f} - {row['high']:.2f}"),
    ("turns", lambda row: str(row["turns"])),
)
_MEMORY_COLUMNS: tuple[Column, ...] = (
    *_SHAPE,
    ("output", lambda row: f"{row['output'] / 2**20:.0f} MiB"),
    ("peak", lambda row: f"{row['extra'] / 2**20:.0f} MiB"),
    ("allowed", lambda row: f"{row['allowed'] / 2**20:.0f} MiB"),
    ("kept", lambda row: "yes" if row["kept"] else "NO"),
)


def print_table(columns: tuple[Column, ...], results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print a Markdown table, row by row as the results come, and return the results."""
    headings = [name for name, _ in columns]
    # Wide enough for the longest cell of all tables, because each row is printed before the next is known.
    widths = [max(len(name), 13) for name in headings]
    print(_line(headings, widths))
    print("|" + "|".join(("-" * (width + 1)) + ":" for width in widths) + "|", flush=True)
    rows = []
    for row in results:
        rows.append(row)
        print(_line([cell(row) for _, cell in columns], widths), flush=True)
    return rows


def _line(cells: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


if __name__ == "__main__":
    print(_extra_bytes(Case(**json.loads(sys.argv[1]))))
