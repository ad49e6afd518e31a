"""``gpusmote plan``: what a run over a file would make, and how much memory it would need."""

from __future__ import annotations

import os
from typing import Any

from gpusmote.backends import select
from gpusmote.backends.device import require
from gpusmote.errors import MemoryLimitError
from gpusmote.files import Progress
from gpusmote.files.amounts import checked_sampler, decided
from gpusmote.files.engine import open_source
from gpusmote.files.formats import file_path
from gpusmote.files.memory import file_memory, needs_of
from gpusmote.files.passes import Passes
from gpusmote.io_errors import naming
from gpusmote.synthesis.report import Report

__all__ = ["forecast"]


def forecast(
    source: str | os.PathLike[str],
    *,
    target: str,
    sampler: Any,
    percentage: float | None = None,
    dup_size: int | None = None,
    memory_limit: Any = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], MemoryLimitError | None]:
    """Read the labels of a file as :func:`gpusmote.resample_file` does, without writing one.

    It has the same parameters, and raises the same errors, except for too little memory on the host.

    Returns
    -------
    report : dict
        - ``source``, ``target``;
        - ``n_rows``, ``n_features``: of the source; ``n_synthetic``: the number of synthetic rows;
        - ``classes``: for each class its ``label``, and its rows ``before`` and ``after``;
        - ``device``, ``reason``: the device, and the reason for the choice;
        - ``bytes``: on the host, ``held`` (the rows that are read, and all labels), ``needed`` (with libraries and
          blocks, which are larger if more memory is allowed), ``peak`` (an upper bound of the most at any time, with
          the search), ``limit`` (absent if the system does not report free memory); ``written`` (approximate size of
          the output in the format of the source).
    refusal : MemoryLimitError or None
        The error that the run would raise because of memory on the host; ``peak`` is then that of the smallest search.
    """
    sampler = checked_sampler(sampler, percentage, dup_size)
    memory = file_memory(memory_limit, sampler)
    path = file_path(source)
    file = open_source(path, memory)
    try:
        require(sampler.device)
        passes = Passes(file, target, memory, Report(), progress)
        labels = passes.scan()
        with naming(path):
            make = {c: n for c, n in decided(sampler, labels, target, percentage, dup_size).items() if n}
        rows = passes.to_hold(sampler, make)
        backend, reason = select(sampler.device, sampler._work(rows, labels, make), "cpu")
        with naming(path):
            needs = needs_of(memory, file, sampler, rows, labels, make, backend)
    finally:
        file.close()
    n_new = sum(make.values())
    size = {"held": needs.held, "needed": needs.needed, "peak": needs.peak}
    size |= {} if memory.limit.bytes is None else {"limit": memory.limit.bytes}
    size["written"] = round(file.size * (1 + n_new / rows.n_rows))
    classes = [
        {
            "label": label if isinstance(label, (str, int, float)) else str(label),
            "before": n,
            "after": n + make.get(c, 0),
        }
        for c, (label, n) in enumerate(zip(labels.names(), labels.counts.tolist(), strict=True))
    ]
    report = {
        "source": os.fspath(source),
        "target": target,
        "n_rows": rows.n_rows,
        "n_features": rows.n_features,
        "n_synthetic": n_new,
        "classes": classes,
        "device": backend.name,
        "reason": reason,
        "bytes": size,
    }
    return report, needs.refusal
