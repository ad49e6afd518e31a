"""Time and memory of SMOTE compared with imbalanced-learn: ``python -m gpusmote.evaluation``."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from gpusmote.backends.threads import n_threads
from gpusmote.backends.versions import version
from gpusmote.errors import MissingPackageError
from gpusmote.over_sampling import SMOTE

__all__ = [
    "CASES",
    "QUICK",
    "Case",
    "Column",
    "Row",
    "imblearn_smote",
    "load",
    "machine",
    "measure_memory",
    "measure_time",
    "measure_turns",
    "print_facts",
    "print_table",
    "run",
]

MAJORITY = 5
NEIGHBORS = 5
LEAST_SECONDS = 2.0
"""Minimum total time for a table, so that short calls are repeated more often."""
ALLOWANCE = 256 << 20
"""Bytes that a call may need in addition to twice the size of its output."""

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


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

    def __str__(self) -> str:
        return f"{self.rows:,} x {self.columns}"

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """X of shape (6 * rows, columns), normally distributed, and y; the same in each call."""
        rng = np.random.default_rng(self.rows + self.columns)
        X = rng.standard_normal(((1 + MAJORITY) * self.rows, self.columns), dtype=np.dtype(self.dtype).type)
        y = np.zeros(len(X), np.int64)
        y[rng.permutation(len(X))[: self.rows]] = 1
        return X, y

    @property
    def output_bytes(self) -> int:
        """Size of the resampled X in bytes."""
        return 2 * MAJORITY * self.rows * self.columns * np.dtype(self.dtype).itemsize


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
    cases, facts = QUICK if quick else CASES, machine()
    print_facts(facts)
    if memory:
        print(f"Peak memory of one fit_resample; promised: twice the output + {ALLOWANCE >> 20} MiB.\n")
        results = print_table(_MEMORY_COLUMNS, map(measure_memory, cases))
    else:
        print(f"Seconds of fit_resample, median of {repeat} turns or more; k = {NEIGHBORS}, majority {MAJORITY}x.\n")
        theirs = imblearn_smote()
        measured = ({**dataclasses.asdict(case), **measure_time(*case.table(), theirs, repeat)} for case in cases)
        results = print_table(_TIME_COLUMNS, measured)
    if path is not None:
        path.write_text(json.dumps({"machine": facts, "results": results}, indent=2) + "\n")
    return int(any(not row.get("kept", True) for row in results))


def imblearn_smote() -> Any:
    """imbalanced-learn's sampler, after one call of both libraries, which loads their code.

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
    theirs = over_sampling.SMOTE(k_neighbors=NEIGHBORS, random_state=0)
    for sampler in (theirs, SMOTE(random_state=0)):
        sampler.fit_resample(*Case(100, 4, "float32").table())
    return theirs


def measure_time(X: np.ndarray, y: np.ndarray, theirs: Any, repeat: int) -> Row:
    """Measure both libraries on one table, alternately; the one that runs first changes in each turn.

    Parameters
    ----------
    X, y : arrays
    theirs : sampler
        The sampler to compare with.
    repeat : int
        Minimum number of turns.

    Returns
    -------
    dict
        - ``gpusmote`` and ``other``: medians in seconds; ``turns``: the number of turns;
        - ``ratio``: the median of the ratios of all turns, above 1 if gpusmote is faster; ``low`` and ``high``: their
          quartiles;
        - ``device``; ``why``: the source of candidates of each search, and the reason.
    """
    ours = SMOTE(k_neighbors=NEIGHBORS, random_state=0)
    samplers = {"gpusmote": ours, "other": theirs}
    turns = measure_turns(samplers, X, y, repeat, LEAST_SECONDS)
    ratios = [turn["other"] / turn["gpusmote"] for turn in turns]
    low, ratio, high = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
    return {
        **{name: statistics.median(turn[name] for turn in turns) for name in samplers},
        "turns": len(turns),
        "ratio": ratio,
        "low": low,
        "high": high,
        "device": ours.device_,
        "why": list(ours.report_.search.why),
    }


def measure_turns(
    samplers: dict[str, Any], X: Any, y: np.ndarray, repeat: int, least_seconds: float = 0.0
) -> list[dict[str, float]]:
    """Run all samplers in turns; the one that runs first changes in each turn.

    Parameters
    ----------
    samplers : dict of str to sampler
    X, y : arrays
    repeat : int
        Minimum number of turns.
    least_seconds : float, default=0.0
        Minimum total time.

    Returns
    -------
    list of dict of str to float
        Seconds of each sampler, for each turn.
    """
    turns: list[dict[str, float]] = []
    begin = time.perf_counter()
    while len(turns) < repeat or time.perf_counter() - begin < least_seconds:
        first = len(turns) % len(samplers)
        order = [*list(samplers)[first:], *list(samplers)[:first]]
        turns.append({name: _seconds(samplers[name], X, y) for name in order})
    return turns


def _seconds(sampler: Any, X: Any, y: np.ndarray) -> float:
    start = time.perf_counter()
    sampler.fit_resample(X, y)
    return time.perf_counter() - start


def measure_memory(case: Case) -> Row:
    """Measure the peak memory of one call in a separate process. It reads ``/proc``, which only Linux has.

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
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        extra = process.submit(_extra_bytes, case).result()
    allowed = 2 * case.output_bytes + ALLOWANCE
    sizes = {"output": case.output_bytes, "extra": extra, "allowed": allowed}
    return {**dataclasses.asdict(case), **sizes, "kept": extra <= allowed}


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
    """Resident memory of the process in bytes: current (VmRSS) or peak (VmHWM)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def machine() -> dict[str, str]:
    """The processor, cores, memory, load, BLAS and versions, for the output of a benchmark."""
    blas = {
        f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown')} kernels, "
        f"{library['num_threads']} threads)"
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    }  # the wheels of NumPy and SciPy have one each
    packages = ("gpusmote", "imbalanced-learn", "scikit-learn", "numpy", "scipy")
    return {
        "processor": _processor(),
        "cores": f"{n_threads()} used of {os.cpu_count()}",
        "memory": _total_memory(),
        "load before": load(),
        "BLAS": ", ".join(sorted(blas)),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


def load() -> str:
    """The load average of the last minute; a benchmark itself adds one for each of its threads."""
    return f"{os.getloadavg()[0]:.1f} in the last minute" if hasattr(os, "getloadavg") else "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def _total_memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


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


def print_facts(facts: dict[str, str]) -> None:
    """Print the description of a machine."""
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n", flush=True)


def print_table(columns: tuple[Column, ...], results: Iterable[Row]) -> list[Row]:
    """Print a Markdown table, row by row as the results come, and return the results."""
    # Wide enough for the longest cell of all tables, because each row is printed before the next is known.
    widths = [max(len(name), 13) for name, _ in columns]

    def show(cells: list[str]) -> None:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        print("| " + " | ".join(padded) + " |", flush=True)

    show([name for name, _ in columns])
    print("|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|", flush=True)
    rows = []
    for row in results:
        rows.append(row)
        show([cell(row) for _, cell in columns])
    return rows
