"""The work of :func:`gpusmote.resample_file`: what is asked for is checked, the passes are made, the report written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any, BinaryIO

from gpusmote.atomic_write import whole_files
from gpusmote.backends.device import require
from gpusmote.base.sampler import BaseSampler
from gpusmote.errors import FileError, ParameterError
from gpusmote.files.allocators import give_back
from gpusmote.files.amounts import checked_sampler, decided
from gpusmote.files.csv_source import CsvSource
from gpusmote.files.formats import file_path, form_of
from gpusmote.files.memory import FileMemory, file_memory
from gpusmote.files.passes import Passes
from gpusmote.files.report import FileReport
from gpusmote.files.sinks import Sink, open_sink
from gpusmote.files.sources import ArrowSource, ParquetSource, Source
from gpusmote.io_errors import naming, writing
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["Request", "open_source", "run"]


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of :func:`gpusmote.resample_file`."""

    source: Any
    destination: Any
    target: str
    sampler: Any
    percentage: Any
    dup_size: Any
    memory_limit: Any
    origins: Any
    only_synthetic: bool
    force: bool
    progress: Any


def run(request: Request) -> FileReport:
    """Read, plan, write; see :func:`gpusmote.resample_file`.

    What can be known before the table is read is told before: first what the arguments say by themselves, then what a
    look at the files shows, then whether the device is there, for which packages may have to be loaded.
    """
    sampler = checked_sampler(request.sampler, request.percentage, request.dup_size)
    memory = file_memory(request.memory_limit, sampler)
    named = {"source": request.source, "origins": request.origins, "destination": request.destination}
    path = {name: _path(name, value) for name, value in named.items() if name != "origins" or value is not None}
    outputs = [path[name] for name in ("origins", "destination") if name in path]  # the destination appears last
    for output in outputs:
        form_of(output)
    _refuse_same(list(path.values()))
    source = open_source(path["source"], memory)
    clock = Report()
    try:
        # Publishing is what the end of the block does; the stack tells its time apart.
        with contextlib.ExitStack() as stack:
            files = stack.enter_context(whole_files(outputs, force=request.force))
            require(sampler.device)
            passes = Passes(source, request.target, memory, clock, request.progress, outputs[-1])
            plan, sampler = _resample(request, sampler, passes, source, memory, outputs, files)
            source.refuse_change()
            written = sum(file.tell() for file in files)
            with clock.stage("publish"):
                stack.close()
    finally:
        source.close()
        give_back()
    return _report(request, sampler, passes, plan, source, memory, clock, written)


def _path(name: str, value: Any) -> Path:
    try:
        return file_path(value)
    except TypeError:
        raise ParameterError(f"{name} is of type {type(value).__name__}.", "It must be the path of a file.") from None


def open_source(path: Path, memory: FileMemory) -> Source:
    """The table in a file, by its ending.

    Raises
    ------
    FileError
        If it cannot be read, or its ending is not known.
    """
    form = form_of(path)
    if form.kind == "csv":
        return CsvSource(path, form, memory.text_bytes)
    return (ParquetSource if form.kind == "parquet" else ArrowSource)(path, form)


def _refuse_same(paths: list[Path]) -> None:
    for i, path in enumerate(paths):
        for other in paths[:i]:
            if os.path.realpath(path) == os.path.realpath(other) or _same_file(path, other):
                raise FileError(
                    f"{other} and {path} are the same file.", "Give each a name of its own.", filename=str(path)
                )


def _same_file(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):  # one does not exist
        return os.path.samefile(one, other)
    return False


def _resample(
    request: Request,
    sampler: BaseSampler,
    passes: Passes,
    source: Source,
    memory: FileMemory,
    outputs: list[Path],
    files: list[BinaryIO],
) -> tuple[Plan, BaseSampler]:
    target = passes.scan()
    with naming(source.path):
        make = decided(sampler, target, request.target, request.percentage, request.dup_size)
    passes.hold(sampler, make)
    plan = passes.plan(sampler)
    texts = [str(label) for label in target.names()]
    with contextlib.ExitStack() as abandoned:
        sinks: list[Sink] = []
        for output, file in zip(outputs, files, strict=True):
            schema = source.schema if output is outputs[-1] else passes.origins_schema()
            with writing(output):
                sink = open_sink(file, form_of(output), schema, memory.group_rows(schema), texts, source)
            abandoned.callback(sink.abandon)
            sinks.append(sink)
        with writing(outputs[-1]):
            if not request.only_synthetic:
                passes.copy(sinks[-1])
            passes.make(plan, sinks[-1], sinks[0] if len(sinks) > 1 else None)
        for output, sink in zip(outputs, sinks, strict=True):
            with writing(output):
                sink.finish()
        abandoned.pop_all()
    return plan, sampler


def _report(
    request: Request,
    sampler: BaseSampler,
    passes: Passes,
    plan: Plan,
    source: Source,
    memory: FileMemory,
    clock: Report,
    written: int,
) -> FileReport:
    labels = passes.labels.names()
    before = dict(zip(labels, passes.labels.counts.tolist(), strict=True))
    made = dict(zip(labels, plan.counts.values(), strict=True))
    kept = dict.fromkeys(labels, 0) if request.only_synthetic else before
    plan.report.add_versions("pyarrow")
    return FileReport(
        source=str(request.source),
        destination=str(request.destination),
        origins=None if request.origins is None else str(request.origins),
        target=request.target,
        n_features=passes.rows.n_features,
        rows_before=sum(before.values()),
        rows_after=sum(kept.values()) + len(plan),
        n_synthetic=len(plan),
        classes_before=before,
        classes_after={label: kept[label] + made[label] for label in labels},
        device=plan.report.device,
        reason=plan.report.reason,
        seconds=dict(clock.seconds),
        bytes_read=source.size,
        bytes_written=written,
        peak_estimate=passes.peak,
        memory_limit=memory.limit.bytes,
        versions=dict(plan.report.versions),
        sampler=_described(sampler, plan),
    )


def _described(sampler: BaseSampler, plan: Plan) -> dict[str, Any]:
    return {
        "name": type(sampler).__name__,
        "parameters": sampler.get_params(deep=False),
        "report": dataclasses.asdict(plan.report),
    }
