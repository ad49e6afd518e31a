"""The work of :func:`gpusmote.resample_file`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from gpusmote.files.report import FileReport
from gpusmote.samplers import SMOTE

__all__ = ["Request", "run"]


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
    """All in memory; to be replaced by the stream."""
    table = _read(Path(request.source))
    sampler = SMOTE() if request.sampler is None else request.sampler
    X, y = table.drop_columns([request.target]), table[request.target]
    plan = sampler.plan(X, y)
    X_more, y_more = plan.resample()
    out = X_more.add_column(table.column_names.index(request.target), table.schema.field(request.target), y_more)
    path = Path(request.destination)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(out, path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(out, path)
    else:
        pyarrow.feather.write_feather(out, path)
    before = dict(zip(*(a.tolist() for a in (plan._target.classes, plan._target.counts)), strict=True))
    after = {label: count + plan.counts[label] for label, count in before.items()}
    report = dataclasses.asdict(plan.report)
    return FileReport(
        str(request.source), str(path), None, request.target, X.num_columns, len(table), len(out), len(plan),
        before, after, plan.report.device, plan.report.reason, plan.report.seconds, Path(request.source).stat().st_size,
        path.stat().st_size, 0, None, plan.report.versions,
        {"name": type(sampler).__name__, "parameters": sampler.get_params(deep=False), "report": report},
    )  # fmt: skip


def _read(path: Path) -> Any:
    if path.suffix == ".csv":
        return pa.csv.read_csv(path)
    return pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.feather.read_table(path)
