"""``gpusmote plan``: what a run over a file would make, and how much memory it would need."""

from __future__ import annotations

import dataclasses
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

__all__ = ["Forecast", "forecast"]


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
        The device, and the reason for the choice.
    bytes : dict of str to int
        On the host: ``held`` (the rows that are read, and all labels), ``needed`` (with libraries and blocks, which are
        larger if more memory is allowed), ``peak`` (an upper bound of the most at any time, with the search),
        ``limit`` (absent if the system does not report free memory); ``written`` (approximate size of the output in
        the format of the source).
    refusal : MemoryLimitError or None
        The error that the run would raise because of memory on the host; ``peak`` is then that of the smallest search.
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
    refusal: MemoryLimitError | None

    def to_dict(self) -> dict[str, Any]:
        """All fields but ``refusal``, for ``json.dumps``."""
        return {name: value for name, value in vars(self).items() if name != "refusal"}


def forecast(
    source: str | os.PathLike[str],
    *,
    target: str,
    sampler: Any,
    percentage: float | None = None,
    dup_size: int | None = None,
    memory_limit: Any = None,
    progress: Progress | None = None,
) -> Forecast:
    """Read the labels of a file as :func:`gpusmote.resample_file` does, without writing one.

    It has the same parameters, and raises the same errors, except for too little memory on the host.
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
    shape = rows.n_rows, rows.n_features, n_new
    return Forecast(os.fspath(source), target, *shape, classes, backend.name, reason, size, needs.refusal)
