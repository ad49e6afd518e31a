"""Three passes over a source: its labels, the rows that must be held, the copy; then the synthetic rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpusmote.backends import Backend, select
from gpusmote.base.sampler import BaseSampler
from gpusmote.config import config_context
from gpusmote.errors import DeviceError
from gpusmote.files.columns import check_names, check_types
from gpusmote.files.csv_source import CsvSource
from gpusmote.files.labels import FileTarget, LabelScan
from gpusmote.files.memory import FileMemory, needs_of, trim
from gpusmote.files.resident_rows import ResidentRows
from gpusmote.files.sinks import CsvSink, Sink
from gpusmote.files.sources import Source
from gpusmote.io_errors import naming
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["Passes"]


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
        The folder of this file holds the temporary file of a CSV source. Default: the system's temporary folder.
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
        self._tell = progress or (lambda stage, done, total: None)
        self.labels: FileTarget
        self.rows: ResidentRows
        self.peak = 0  # bytes that the run holds at most
        self._beside = 0  # bytes held during the search that are not part of its own memory

    @property
    def features(self) -> Any:
        """pyarrow.Schema without the target."""
        schema = self._source.schema
        return schema.remove(schema.get_field_index(self._target))

    def scan(self) -> FileTarget:
        """First pass: the labels. A CSV file is also converted, which shows the types of all columns."""
        source = self._source
        with self._clock.stage("scan"), naming(source.path):
            check_names(source.schema, self._target)
            if isinstance(source, CsvSource):
                self.labels = source.convert(
                    self._target, self._output, lambda done: self._tell("scan", done, source.size)
                )
                check_types(self.features, source)
            else:
                check_types(self.features, source)
                labels = LabelScan(self._target, source.schema.field(self._target).type)
                for batch in self._batches([self._target]):
                    labels.add(batch.column(0))
                self.labels = labels.finish()
        self._tell("scan", source.size, source.size)
        return self.labels

    def to_hold(self, sampler: BaseSampler, make: dict[int, int]) -> ResidentRows:
        """The rows that a sampler needs for the classes that get any: of these classes, or all. None is read yet."""
        groups = None if make and sampler._looks_at_all_rows else [self.labels.rows_of(c) for c in make]
        return ResidentRows(self.features, len(self.labels.codes), groups)

    def hold(self, sampler: BaseSampler, make: dict[int, int]) -> None:
        """Second pass: check all features, and hold the rows that the sampler needs.

        Raises
        ------
        MemoryLimitError
            Before the pass, if they do not fit.
        """
        source = self._source
        make = {c: n_new for c, n_new in make.items() if n_new}
        with self._clock.stage("read"), naming(source.path):
            self.rows = rows = self.to_hold(sampler, make)
            try:
                backend, _ = select(sampler.device, sampler._work(rows, self.labels, make), "cpu")
            except DeviceError:  # the search raises it again, or falls back to the CPU
                backend = Backend()
            needs = needs_of(self._memory, source, sampler, rows, self.labels, make, backend)
            if needs.refusal is not None:
                raise needs.refusal
            self.peak, self._beside = needs.peak, needs.beside
            done = 0
            for done in rows.fill(self._batches(self.features.names)):
                self._tell("read", done, rows.n_rows)
            if done != rows.n_rows:
                source.refuse_change()

    def plan(self, sampler: BaseSampler) -> Plan:
        """The search, with the memory that the held rows and the blocks leave of the limit."""
        self._tell("search", 0, 1)
        trim()
        left = self._memory.search_limit(self._beside)
        sampler.memory_limit = left
        with self._clock.stage("search"), naming(self._source.path), config_context(memory_limit=left):
            plan = sampler.plan(self.rows, self.labels)
        self.rows.let_go()
        trim()
        self._tell("search", 1, 1)
        return plan

    def copy(self, sink: Sink) -> None:
        """Third pass: the original rows, unchanged."""
        source, n = self._source, len(self.labels.codes)
        with self._clock.stage("copy"):
            if isinstance(sink, CsvSink) and isinstance(source, CsvSource) and sink.separator == source.form.separator:
                sink.copy(source, lambda done: self._tell("copy", done, source.size))
                return
            done = 0
            for batch in self._batches(self.features.names):
                stop = done + batch.num_rows
                # The labels are those of the target, in which all batches have the same categories.
                sink.write(self._joined(batch.columns, self.labels.column(done, stop)))
                done = stop
                self._tell("copy", done, n)
                del batch  # before the next is read
            if done != n:
                source.refuse_change()

    def _joined(self, columns: list[Any], labels: Any) -> Any:
        """pyarrow.Table of these features and labels."""
        schema = self._source.schema
        at = schema.get_field_index(self._target)
        return pa.Table.from_arrays([*columns[:at], labels, *columns[at:]], schema=schema)

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        """The source's batches. pyarrow's unused memory is released after each, because it would grow."""
        for batch in self._source.batches(columns, self._memory.batch_rows(self._source.schema)):
            if batch.num_rows:
                yield batch
            del batch
            pa.default_memory_pool().release_unused()

    def make(self, plan: Plan, sink: Sink, origins: Sink | None) -> None:
        """The synthetic rows, block by block, and their origins."""
        step = self._memory.batch_rows(self._source.schema)
        with self._clock.stage("make"):
            for start in range(0, len(plan), step):
                stop = min(start + step, len(plan))
                labels = plan.labels(start, stop)
                sink.write(self._joined(plan.rows(start, stop).columns, labels))
                if origins is not None:
                    origin = plan.origin(start, stop)
                    numbers = [pa.array(np.ascontiguousarray(origin[name])) for name in ("base", "neighbor", "gap")]
                    origins.write(pa.Table.from_arrays([labels, *numbers], schema=self.origins_schema()))
                pa.default_memory_pool().release_unused()
                self._tell("make", stop, len(plan))

    def origins_schema(self) -> Any:
        """class, base, neighbor, gap."""
        kind = self._source.schema.field(self._target).type
        return pa.schema([("class", kind), ("base", pa.int64()), ("neighbor", pa.int64()), ("gap", pa.float64())])
