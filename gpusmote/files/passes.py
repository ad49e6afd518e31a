"""Three passes over a source: its labels, the rows that must be held, the copy; then the synthetic rows."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.backends import Backend, select
from gpusmote.base.sampler import BaseSampler
from gpusmote.config import config_context
from gpusmote.errors import DeviceError
from gpusmote.files.allocators import give_back, release_unused
from gpusmote.files.columns import check_names, check_types
from gpusmote.files.csv_source import CsvSource
from gpusmote.files.labels import FileTarget, LabelScan
from gpusmote.files.memory import FileMemory, needs_of
from gpusmote.files.resident_rows import ResidentRows
from gpusmote.files.sinks import CsvSink, Sink
from gpusmote.files.sources import Source
from gpusmote.files.spelling import SpelledLabels
from gpusmote.io_errors import naming
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["Passes"]

_SEARCHED = 16  # classes whose rows are found one class after the other, which takes less memory than a sort


def _say_nothing(stage: str, done: int, total: int) -> None:
    pass


class Passes:
    """The passes over one source.

    Parameters
    ----------
    source : Source
    target : str
        The column of labels.
    memory : FileMemory
    clock : Report
        Takes the seconds of each pass.
    progress : callable or None
    output : Path, optional
        In whose folder a CSV file is converted. Default: the system's folder for temporary files.
    """

    def __init__(
        self,
        source: Source,
        target: str,
        memory: FileMemory,
        clock: Report,
        progress: Any,
        output: Path | None = None,
    ) -> None:
        self._source, self._target, self._memory, self._clock = source, target, memory, clock
        self._output = output
        self._tell = progress or _say_nothing
        self.labels: FileTarget
        self.rows: ResidentRows
        self.peak = 0  # bytes that the run holds at most
        self._beside = 0  # of these, held during the search beside its own memory

    @property
    def features(self) -> Any:
        """pyarrow.Schema without the target."""
        schema = self._source.schema
        return schema.remove(schema.get_field_index(self._target))

    def scan(self) -> FileTarget:
        """First pass: the labels; a CSV file is converted, which settles the types of all columns."""
        source = self._source
        with self._clock.stage("scan"), naming(source.path):
            check_names(source.schema, self._target)
            if isinstance(source, CsvSource):
                self.labels = self._convert(source)
            else:
                check_types(self.features, source)
                labels = LabelScan(self._target, source.schema.field(self._target).type)
                for batch in self._batches([self._target]):
                    labels.add(batch.column(0))
                self.labels = labels.finish()
        self._tell("scan", source.size, source.size)
        return self.labels

    def _convert(self, source: CsvSource) -> FileTarget:
        labels = SpelledLabels(self._target)
        for column in source.convert(self._target, self._output):
            labels.add(column)
            del column  # before the next is read
            release_unused()
            at = source.position()
            if at is not None:
                self._tell("scan", min(at, source.size), source.size)
        target = labels.finish()
        check_types(self.features, source)
        source.take_labels(self._target, target)
        return target

    def hold(self, sampler: BaseSampler, make: dict[int, int]) -> ResidentRows:
        """Second pass: check all features, and hold the rows of the classes that get rows, or all.

        Raises
        ------
        MemoryLimitError
            Before the pass, if they do not fit.
        """
        source, n = self._source, len(self.labels.codes)
        make = {c: n_new for c, n_new in make.items() if n_new}
        with self._clock.stage("read"), naming(source.path):
            rows = self.to_hold(sampler, make)
            self._refuse_too_large(sampler, rows, make)
            names = self.features.names
            done = 0
            for done in rows.fill(map(operator.methodcaller("select", names), self._batches(names))):
                self._tell("read", done, n)
            if done != n:
                source.refuse_change()
        self.rows = rows
        return rows

    def to_hold(self, sampler: BaseSampler, make: dict[int, int]) -> ResidentRows:
        """The rows that a sampler needs for the classes that get any; none is read yet."""
        groups = None if make and sampler._looks_at_all_rows else _rows_of(self.labels, list(make))
        return ResidentRows(self.features, len(self.labels.codes), groups)

    def _refuse_too_large(self, sampler: BaseSampler, rows: ResidentRows, make: dict[int, int]) -> None:
        try:
            backend, _ = select(sampler.device, sampler._work(rows, self.labels, make), "cpu")
        except DeviceError:  # the search tells, or does without
            backend = Backend()
        needs = needs_of(self._memory, self._source, sampler, rows, self.labels, make, backend)
        if needs.refusal is not None:
            raise needs.refusal
        self.peak, self._beside = needs.peak, needs.beside

    def plan(self, sampler: BaseSampler) -> Plan:
        """The search, within what the held rows and the blocks leave of the limit."""
        self._tell("search", 0, 1)
        give_back()  # the search has no use for what reading took
        left = self._memory.beside(self._beside)
        sampler.memory_limit = left
        with self._clock.stage("search"), naming(self._source.path), config_context(memory_limit=left):
            plan = sampler.plan(self.rows, self.labels)
        self.rows.let_go()
        give_back()
        self._tell("search", 1, 1)
        return plan

    def copy(self, sink: Sink) -> None:
        """Third pass: the originals, as they are."""
        source, n = self._source, len(self.labels.codes)
        with self._clock.stage("copy"):
            if isinstance(sink, CsvSink) and isinstance(source, CsvSource) and sink.separator == source.form.separator:
                sink.copy(source, lambda done: self._tell("copy", min(done, source.size), source.size))
                return
            done = 0
            for batch in self._batches(None):
                sink.write(self._as_written(batch, done))
                done += batch.num_rows
                self._tell("copy", done, n)
                del batch  # before the next is read
            if done != n:
                source.refuse_change()

    def _batches(self, columns: list[str] | None) -> Iterator[Any]:
        """The source's; what they leave behind in pyarrow's pool is given back, or it would grow by several times."""
        for batch in self._source.batches(columns, self._memory.batch_rows(self._source.schema)):
            if batch.num_rows:
                yield batch
            del batch
            release_unused()

    def _as_written(self, batch: Any, start: int) -> Any:
        """The batch with the file's schema; every batch has the same categories then."""
        columns = list(batch.columns)
        schema = self._source.schema
        at = schema.get_field_index(self._target)
        if pa.types.is_dictionary(schema.field(at).type):
            columns[at] = self.labels.column(start, start + batch.num_rows)
        return pa.Table.from_arrays(columns, schema=schema)

    def make(self, plan: Plan, sink: Sink, origins: Sink | None) -> None:
        """The synthetic rows, block by block, and where they come from."""
        schema = self._source.schema
        step = self._memory.batch_rows(schema)
        with self._clock.stage("make"):
            for start in range(0, len(plan), step):
                stop = min(start + step, len(plan))
                labels = plan.labels(start, stop)
                columns = plan.rows(start, stop).columns
                columns.insert(schema.get_field_index(self._target), labels)
                sink.write(pa.Table.from_arrays(columns, schema=schema))
                if origins is not None:
                    origins.write(self._origins(plan, start, stop, labels))
                del columns
                release_unused()
                self._tell("make", stop, len(plan))

    def origins_schema(self) -> Any:
        """class, base, neighbor, gap."""
        kind = self._source.schema.field(self._target).type
        return pa.schema(
            [("class", kind), ("base", pa.int64()), ("neighbor", pa.int64()), ("gap", pa.float64())]
        )  # fmt: skip

    def _origins(self, plan: Plan, start: int, stop: int, labels: Any) -> Any:
        origin = plan.origin(start, stop)
        found = [np.ascontiguousarray(origin[field]) for field in ("base", "neighbor", "gap")]
        return pa.Table.from_arrays([labels, *map(pa.array, found)], schema=self.origins_schema())


def _rows_of(labels: FileTarget, wanted: list[int]) -> list[np.ndarray]:
    """The rows of each of these classes, ascending; by one sort where there are many classes."""
    if len(wanted) <= _SEARCHED:
        return [np.flatnonzero(labels.codes == c) for c in wanted]
    order, ends = np.argsort(labels.codes, kind="stable"), np.cumsum(labels.counts)
    return [order[ends[c] - labels.counts[c] : ends[c]] for c in wanted]
