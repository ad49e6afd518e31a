"""The work of :func:`gpusmote.resample_file`: check the arguments, read, search, write, report."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any, BinaryIO

from gpusmote.atomic_write import whole_files
from gpusmote.backends.device import require
from gpusmote.errors import FileError, ParameterError
from gpusmote.files.amounts import checked_sampler, decided
from gpusmote.files.csv_source import CsvSource
from gpusmote.files.formats import Form, file_path, form_of
from gpusmote.files.memory import FileMemory, file_memory, trim
from gpusmote.files.passes import Passes
from gpusmote.files.report import FileReport
from gpusmote.files.sinks import Sink, open_sink
from gpusmote.files.sources import ArrowSource, ParquetSource, Source
from gpusmote.io_errors import naming, writing
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["open_source", "run"]


def run(
    paths: dict[str, Any],
    target: str,
    sampler: Any,
    amounts: dict[str, Any],
    memory_limit: Any,
    only_synthetic: bool,
    force: bool,
    progress: Any,
) -> FileReport:
    """Read, plan, write; see :func:`gpusmote.resample_file`.

    Errors that can be known before the table is read are raised before: first those of the arguments, then those of
    the files, then those of the device, for which packages may have to be imported.
    """
    sampler = checked_sampler(sampler, **amounts)
    memory = file_memory(memory_limit, sampler)
    path = {name: _path(name, value) for name, value in paths.items() if name != "origins" or value is not None}
    outputs = [path[name] for name in ("origins", "destination") if name in path]  # the destination appears last
    for output in outputs:
        form_of(output)
    source = open_source(path["source"], memory)
    clock = Report()
    try:
        _refuse_same(source, outputs)
        # The files are published when the block ends; the stack is closed earlier to measure the time of that.
        with contextlib.ExitStack() as stack:
            files = stack.enter_context(whole_files(outputs, force=force))
            require(sampler.device)
            passes = Passes(source, target, memory, clock, progress, outputs[-1])
            labels = passes.scan()
            with naming(source.path):
                make = decided(sampler, labels, target, **amounts)
            passes.hold(sampler, make)
            plan = passes.plan(sampler)
            _write(passes, plan, source, memory, dict(zip(outputs, files, strict=True)), only_synthetic)
            source.refuse_change()
            written = sum(file.tell() for file in files)
            with clock.stage("publish"):
                stack.close()
    finally:
        source.close()
        trim()
    before = dict(zip(labels.names(), labels.counts.tolist(), strict=True))
    made = dict(zip(before, plan.counts.values(), strict=True))
    kept = dict.fromkeys(before, 0) if only_synthetic else before
    plan.report.add_versions("pyarrow")
    return FileReport(
        source=str(paths["source"]),
        destination=str(paths["destination"]),
        origins=None if paths["origins"] is None else str(paths["origins"]),
        target=target,
        n_features=passes.rows.n_features,
        rows_before=sum(before.values()),
        rows_after=sum(kept.values()) + len(plan),
        n_synthetic=len(plan),
        classes_before=before,
        classes_after={label: kept[label] + made[label] for label in before},
        device=plan.report.device,
        reason=plan.report.reason,
        seconds=dict(clock.seconds),
        bytes_read=source.size,
        bytes_written=written,
        peak_estimate=passes.peak,
        memory_limit=memory.limit.bytes,
        versions=dict(plan.report.versions),
        sampler={
            "name": type(sampler).__name__,
            "parameters": sampler.get_params(deep=False),
            "report": dataclasses.asdict(plan.report),
        },
    )


def _path(name: str, value: Any) -> Path:
    try:
        return file_path(value)
    except TypeError:
        raise ParameterError(f"{name} is of type {type(value).__name__}.", "It must be the path of a file.") from None


def open_source(path: Path, memory: FileMemory) -> Source:
    """The table in a file, by its extension, or in the Parquet files of a folder.

    Raises
    ------
    FileError
        If it cannot be read, or its extension is unknown.
    """
    if path.is_dir():
        return ParquetSource(path, Form("parquet"))
    form = form_of(path)
    if form.kind == "csv":
        return CsvSource(path, form, memory.text_bytes)
    return (ParquetSource if form.kind == "parquet" else ArrowSource)(path, form)


def _refuse_same(source: Source, outputs: list[Path]) -> None:
    """FileError if an output is also the source, or another output, or would become a part of the source folder."""
    real = [os.path.realpath(output) for output in outputs]
    for output, name in zip(outputs, real, strict=True):
        if source.path.is_dir() and _same_file(source.path, Path(name).parent):
            raise FileError(
                f"{output} is in the source folder {source.path}.", "Write it to another folder.", filename=str(output)
            )
        same = [other for other in source.files if name == os.path.realpath(other) or _same_file(output, other)]
        if same or real.count(name) > 1:
            raise FileError(
                f"{output} and {same[0] if same else 'another output'} are the same file.",
                "Give each a name of its own.",
                filename=str(output),
            )


def _same_file(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):  # one does not exist
        return os.path.samefile(one, other)
    return False


def _write(
    passes: Passes,
    plan: Plan,
    source: Source,
    memory: FileMemory,
    files: dict[Path, BinaryIO],
    only_synthetic: bool,
) -> None:
    """Write the origins, if they are asked for, and the table, which is the last of the files."""
    texts = [str(label) for label in passes.labels.names()]
    schemas = [passes.origins_schema(), source.schema][-len(files) :]
    *_, table = files
    with contextlib.ExitStack() as abandoned:
        sinks: list[Sink] = []
        for (output, file), schema in zip(files.items(), schemas, strict=True):
            with writing(output):
                sinks.append(open_sink(file, form_of(output), schema, memory.group_rows(schema), texts, source))
            abandoned.callback(sinks[-1].abandon)
        with writing(table):
            if not only_synthetic:
                passes.copy(sinks[-1])
            passes.make(plan, sinks[-1], sinks[0] if len(sinks) > 1 else None)
        for output, sink in zip(files, sinks, strict=True):
            with writing(output):
                sink.finish()
        abandoned.pop_all()
