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
from gpusmote.backends.select import require
from gpusmote.config import setting
from gpusmote.errors import GpusmoteWarning, MemoryLimitError
from gpusmote.files import Progress
from gpusmote.files.amount import checked_sampler, decided
from gpusmote.files.budget import Budget, budget_of
from gpusmote.files.engine import open_source
from gpusmote.files.forms import form_of
from gpusmote.files.held import HeldRows
from gpusmote.files.labels import FileTarget
from gpusmote.files.needs import Needs, needs_of
from gpusmote.files.passes import Passes
from gpusmote.files.problems import naming
from gpusmote.files.sinks import open_sink
from gpusmote.files.sources import Source
from gpusmote.report import Report
from gpusmote.sampler import BaseSampler

__all__ = ["SAMPLE", "Forecast", "forecast"]

SAMPLE = 4000
"""Rows of each class that are timed, at most: the first of the file."""
TURNS = 2
"""How often each is timed; the first pays for what is loaded once."""


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
        On the host: ``held`` (rows of the classes that get rows, and all labels), ``needed`` (with the blocks that
        stream by, which are the larger the more may be used), ``peak`` (with the search, in blocks likewise),
        ``limit`` (absent where the system does not say); ``written`` (a file of the source's form, about).
    seconds : dict of str to float
        "scan" as it took; "read", "search", "copy" and "make" carried over from the sample: the search as if it grew
        with the square of the rows, which is the most that it does, the others in proportion.
    sample : int
        Rows that were timed.
    refusal : MemoryLimitError or None
        What the run would raise for memory on the host; ``peak`` is of blocks as small as they can be then.
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
    refusal: MemoryLimitError | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as what ``json.dumps`` takes."""
        fields = {name: copy.deepcopy(value) for name, value in vars(self).items() if name != "refusal"}
        for row in fields["classes"]:
            row["label"] = row["label"] if isinstance(row["label"], (str, int, float, bool)) else str(row["label"])
        return fields

    def refuse_if_too_large(self) -> None:
        """MemoryLimitError where the run would raise it."""
        if self.refusal is not None:
            raise self.refusal


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
        As the run would, but for memory on the host.
    """
    sampler = checked_sampler(sampler, percentage, dup_size)
    budget = budget_of(memory_limit, sampler)
    file = open_source(source, budget)
    try:
        require(sampler.device)
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
            needs = needs_of(sampler, rows, labels, make, backend, budget)
        size = {**_memory(needs, budget), "written": trial.written}
    finally:
        file.close()
    made = rows.n_rows, rows.n_features, sum(make.values()), _classes(labels, make)
    return Forecast(str(source), target, *made, backend.label, reason, size, seconds, len(trial.table), needs.refusal)


def _classes(labels: FileTarget, make: dict[int, int]) -> list[dict[str, Any]]:
    """Rows of each class, now and then."""
    counted = enumerate(zip(labels.names(), labels.counts.tolist(), strict=True))
    return [{"label": label, "before": n, "after": n + make.get(c, 0)} for c, (label, n) in counted]


def _memory(needs: Needs, budget: Budget) -> dict[str, int]:
    """Bytes on the host, and with them what they are held to."""
    limit = {} if budget.limit is None else {"limit": budget.limit}
    return {"held": needs.held, "needed": needs.needed, "peak": needs.peak, **limit}


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
        if sampler.device == "auto" and setting("device") == "auto":
            self._sampler.device = device  # of the whole work: the sample alone might not be worth a trip
        if hasattr(sampler, "no_seeds"):
            self._sampler.no_seeds = "smote"  # a sample may have no seed where the whole has some
        self.table, self._codes, self._read_seconds = self._read()
        self._write_seconds, self._row_bytes = self._write()

    def _read(self) -> tuple[Any, np.ndarray, float]:
        """The rows, their classes, seconds for each row of the file that was read."""
        k = self._sampler._k
        most = max(SAMPLE, 2 * k) if isinstance(k, int) else SAMPLE  # never too few where there are enough
        left = dict.fromkeys(range(len(self._labels.counts)), most)
        taken, kept, done, seconds = [], [], 0, 0.0
        batches = self._file.batches(None, self._budget.batch_rows(self._file.schema))
        while left:
            began = time.perf_counter()
            batch = next(batches, None)
            seconds += time.perf_counter() - began
            if batch is None:
                break
            codes = self._labels.codes[done : done + batch.num_rows]
            done += batch.num_rows
            first = {c: np.flatnonzero(codes == c)[:wanted] for c, wanted in left.items()}
            chosen = np.sort(np.concatenate(list(first.values())))
            taken.append(batch.take(pa.array(chosen)))
            kept.append(codes[chosen])
            left = {c: wanted - len(first[c]) for c, wanted in left.items() if wanted > len(first[c])}
        return pa.Table.from_batches(taken, self._file.schema), np.concatenate(kept), seconds / done

    def _write(self) -> tuple[float, float]:
        """Seconds and bytes a row, in the source's form."""
        schema, form = self._file.schema, form_of(self._file.path)
        texts = [str(label) for label in self._labels.names()]
        seconds, buffer = [], io.BytesIO()
        for _ in range(TURNS):
            buffer, began = io.BytesIO(), time.perf_counter()
            sink = open_sink(buffer, form, schema, self._budget.group_rows(schema), texts, self._file)
            sink.write(self.table)
            sink.finish()
            seconds.append(time.perf_counter() - began)
        return min(seconds) / len(self.table), buffer.tell() / len(self.table)

    @property
    def written(self) -> int:
        """Bytes of the whole result, about."""
        return round(self._row_bytes * (len(self._labels.codes) + sum(self._make.values())))

    def seconds(self, work: float) -> dict[str, float]:
        """Of the stages of the whole run, whose search compares ``work`` values at most."""
        n, n_new = len(self._labels.codes), sum(self._make.values())
        search = row = 0.0
        if n_new:
            in_sample, turns = self._work(), [self._run() for _ in range(TURNS)]
            search = min(seconds for seconds, _ in turns) * work / in_sample
            row = min(seconds for _, seconds in turns)
        return {
            "read": n * self._read_seconds,
            "search": search,
            "copy": n * (self._read_seconds + self._write_seconds),
            "make": n_new * (row + self._write_seconds),
        }

    def _work(self) -> float:
        """Values that the search in the sample compares at most."""
        table = wrap_features(self.table.drop_columns([self._target]))
        target = wrap_target(self._labels.classes[self._codes], table.n_rows)
        return float(self._sampler._work(table, target, self._make))

    def _run(self) -> tuple[float, float]:
        """Seconds of the search in the sample, and seconds a row that is made."""
        labels, have = self._labels.classes.tolist(), np.bincount(self._codes)
        sampler = copy.copy(self._sampler)
        sampler.sampling_strategy = {
            labels[c]: int(have[c]) + min(n_new, 2 * SAMPLE) for c, n_new in self._make.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GpusmoteWarning)
            plan = sampler.plan(self.table.drop_columns([self._target]), self._labels.classes[self._codes])
        began = time.perf_counter()
        plan.rows()
        return plan.report.seconds["search"], (time.perf_counter() - began) / len(plan)
