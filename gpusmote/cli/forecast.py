"""What ``gpusmote plan`` says: what a run over a file would make, how much it would hold, about how long it would take.

Counts and bytes are computed; seconds are measured on a sample of the rows and carried over to all of them.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.arrays import wrap_features, wrap_target
from gpusmote.backends import select
from gpusmote.config import get_config
from gpusmote.errors import GpusmoteWarning, MemoryLimitError
from gpusmote.files import Progress
from gpusmote.files.amount import checked_sampler, decided
from gpusmote.files.budget import Budget, budget_of
from gpusmote.files.engine import open_source
from gpusmote.files.forms import form_of
from gpusmote.files.held import HeldRows
from gpusmote.files.labels import FileTarget
from gpusmote.files.passes import Passes
from gpusmote.files.problems import naming
from gpusmote.files.sinks import open_sink
from gpusmote.files.sources import Source
from gpusmote.report import Report
from gpusmote.sampler import BaseSampler

__all__ = ["SAMPLE", "Forecast", "forecast"]

SAMPLE = 4000
"""Rows of each class that are timed, at most: the first of the file."""


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes
    ----------
    source, target : str
    n_rows, n_features, n_synthetic : int
        Rows and features of the source, synthetic rows.
    classes : list of dict
        ``label``, ``before``, ``after``.
    device, reason : str
        Where the work would be done, and why there.
    bytes : dict of str to int
        ``held`` (rows of the classes that get rows, and all labels), ``needed`` (with the blocks that stream by),
        ``limit`` (absent where the system does not say), ``written`` (a file of the source's form, about).
    seconds : dict of str to float
        "scan" as it took; "read", "search", "copy" and "make" carried over from the sample: the search as if it grew
        with the square of the rows, which is the most that it does, the others in proportion.
    sample : int
        Rows that were timed.
    """

    source: str
    target: str
    n_rows: int
    n_features: int
    n_synthetic: int
    classes: list[dict[str, Any]]
    device: str
    reason: str
    bytes: dict[str, int]
    seconds: dict[str, float]
    sample: int

    def to_dict(self) -> dict[str, Any]:
        """All of it as what ``json.dumps`` takes."""
        fields = dataclasses.asdict(self)
        for row in fields["classes"]:
            row["label"] = row["label"] if isinstance(row["label"], (str, int, float, bool)) else str(row["label"])
        return fields

    def refuse_if_too_large(self) -> None:
        """MemoryLimitError where the run would raise it."""
        needed, limit = self.bytes["needed"], self.bytes.get("limit", self.bytes["needed"])
        if needed > limit:
            raise MemoryLimitError(
                f"{needed:,} bytes are needed and {limit:,} may be used.",
                f"Give a memory_limit of at least {needed:,} bytes, or use a machine with more memory.",
            )


def forecast(
    source: Path,
    *,
    target: str,
    sampler: BaseSampler,
    percentage: float | None = None,
    dup_size: int | None = None,
    memory_limit: Any = None,
    progress: Progress | None = None,
) -> Forecast:
    """Look at a file as :func:`gpusmote.resample_file` would, without writing one.

    Parameters
    ----------
    source, target, sampler, percentage, dup_size, memory_limit, progress
        See :func:`gpusmote.resample_file`.

    Returns
    -------
    Forecast

    Raises
    ------
    GpusmoteError
        As the run would, but for memory.
    """
    sampler = checked_sampler(sampler, percentage, dup_size)
    budget = budget_of(memory_limit, sampler)
    file = open_source(source, budget)
    try:
        passes = Passes(file, target, budget, Report(), progress)
        began = time.perf_counter()
        labels = passes.scan()
        scanned = time.perf_counter() - began
        with naming(source):
            make = {c: n for c, n in decided(sampler, labels, target, percentage, dup_size).items() if n}
        everything = bool(make) and sampler._looks_at_all_rows
        groups = None if everything else [np.flatnonzero(labels.codes == c) for c in make]
        rows = HeldRows(passes.features, len(labels.codes), groups)
        work = sampler._work(rows, labels, make)
        backend, reason = select(sampler.device, work, "cpu")
        with naming(source):
            trial = _Trial(sampler, backend.name, labels, target, file, budget, make)
            seconds = {"scan": scanned, **trial.seconds(work)}
    finally:
        file.close()
    held = rows.nbytes + labels.codes.nbytes
    size = {"held": held, "needed": held + budget.streaming(len(file.schema)), "written": trial.written}
    if budget.limit is not None:
        size["limit"] = budget.limit
    before = dict(zip([label.as_py() for label in labels.labels], labels.counts.tolist(), strict=True))
    classes = [
        {"label": label, "before": count, "after": count + make.get(c, 0)}
        for c, (label, count) in enumerate(before.items())
    ]
    n_new = sum(make.values())
    names = str(source), target
    return Forecast(
        *names, rows.n_rows, rows.n_features, n_new, classes, backend.label, reason, size, seconds, len(trial.table)
    )


class _Trial:
    """The first rows of each class, read, resampled and written, and how long that takes a row."""

    def __init__(
        self,
        sampler: BaseSampler,
        device: str,
        labels: FileTarget,
        target: str,
        file: Source,
        budget: Budget,
        make: dict[int, int],
    ) -> None:
        self._labels, self._target, self._file, self._budget, self._make = labels, target, file, budget, make
        self._sampler = copy.copy(sampler).set_params(random_state=0)
        if sampler.device == "auto" and get_config()["device"] == "auto":
            self._sampler.device = device  # of the whole work: the sample alone might not be worth a trip
        if hasattr(sampler, "no_seeds"):
            self._sampler.no_seeds = "smote"  # a sample may have no seed where the whole has some
        self.table, self._codes, self._read_seconds = self._read()
        self._write_seconds, self._row_bytes = self._write()

    def _read(self) -> tuple[Any, np.ndarray, float]:
        """The rows, their classes, seconds for each row of the file that was read."""
        k = self._sampler.k_neighbors
        most = max(SAMPLE, 2 * k) if isinstance(k, int) else SAMPLE  # never too few where there are enough
        left = dict.fromkeys(range(len(self._labels.counts)), most)
        taken, kept, done, began = [], [], 0, time.perf_counter()
        for batch in self._file.batches(None, self._budget.batch_rows(self._file.schema)):
            codes = self._labels.codes[done : done + batch.num_rows]
            done += batch.num_rows
            first = {c: np.flatnonzero(codes == c)[:wanted] for c, wanted in left.items()}
            chosen = np.sort(np.concatenate(list(first.values())))
            taken.append(batch.take(pa.array(chosen)))
            kept.append(codes[chosen])
            left = {c: wanted - len(first[c]) for c, wanted in left.items() if wanted > len(first[c])}
            if not left:
                break
        table = pa.Table.from_batches(taken, self._file.schema)
        return table, np.concatenate(kept), (time.perf_counter() - began) / done

    def _write(self) -> tuple[float, float]:
        """Seconds and bytes a row, in the source's form."""
        buffer, schema = io.BytesIO(), self._file.schema
        texts = [str(label) for label in self._labels.labels.to_pylist()]
        began = time.perf_counter()
        sink = open_sink(buffer, form_of(self._file.path), schema, self._budget.group_rows(schema), texts, self._file)
        sink.write(self.table)
        sink.finish()
        n = len(self.table)
        return (time.perf_counter() - began) / n, buffer.tell() / n

    @property
    def written(self) -> int:
        """Bytes of the whole result, about."""
        return round(self._row_bytes * (len(self._labels.codes) + sum(self._make.values())))

    def seconds(self, work: float) -> dict[str, float]:
        """Of the stages of the whole run, whose search compares ``work`` values at most."""
        n, n_new = len(self._labels.codes), sum(self._make.values())
        search, row = self._search_and_row(work) if n_new else (0.0, 0.0)
        return {
            "read": n * self._read_seconds,
            "search": search,
            "copy": n * (self._read_seconds + self._write_seconds),
            "make": n_new * (row + self._write_seconds),
        }

    def _search_and_row(self, work: float) -> tuple[float, float]:
        """Seconds of the search, and of making one row."""
        halves, wholes = [], []
        for _ in range(2):  # what is loaded once is paid for by the first
            halves.append(self._run(2))
            wholes.append(self._run(1))
        less, more = min(halves), min(wholes)
        growth = max(0.0, more[0] - less[0]) / max(1.0, more[1] - less[1])
        return more[0] + growth * max(0.0, work - more[1]), more[2]

    def _run(self, divisor: int) -> tuple[float, float, float]:
        """Seconds of the search, how many values it compares at most, seconds a row; of every class a part."""
        classes = [np.flatnonzero(self._codes == c) for c in range(len(self._labels.classes))]
        chosen = np.concatenate([rows[: -(-len(rows) // divisor)] for rows in classes])
        X, codes = self.table.drop_columns([self._target]).take(pa.array(chosen)), self._codes[chosen]
        y, have = self._labels.classes[codes], np.bincount(codes)
        wanted = {c: min(n_new, 2 * SAMPLE) for c, n_new in self._make.items()}
        labels = self._labels.classes.tolist()
        sampler = copy.copy(self._sampler)
        sampler.sampling_strategy = {labels[c]: int(have[c]) + n_new for c, n_new in wanted.items()}
        sampler.shrink_k |= divisor > 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GpusmoteWarning)
            plan = sampler.plan(X, y)
        began = time.perf_counter()
        plan.rows()
        row = (time.perf_counter() - began) / len(plan)
        work = sampler._work(wrap_features(X), wrap_target(y, len(X)), wanted)
        return plan.report.seconds["search"], work, row
