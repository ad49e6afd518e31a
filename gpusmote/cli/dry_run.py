"""What ``gpusmote plan`` says: what a run over a file would make, and how much memory it would hold."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

from gpusmote.backends import select
from gpusmote.backends.device import require
from gpusmote.base.sampler import BaseSampler
from gpusmote.errors import MemoryLimitError
from gpusmote.files import Progress
from gpusmote.files.amounts import checked_sampler, decided
from gpusmote.files.engine import open_source
from gpusmote.files.labels import FileTarget
from gpusmote.files.memory import FileMemory, Needs, file_memory, needs_of
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
        Where the work would be done, and why there.
    bytes : dict of str to int
        On the host: ``held`` (rows that are read, and all labels), ``needed`` (with libraries and blocks, which are
        the larger the more may be used), ``peak`` (the most at any one time, the search included: an upper bound),
        ``limit`` (absent where the system does not say); ``written`` (a file of the source's form, about).
    refusal : MemoryLimitError or None
        What the run would raise for memory on the host; ``peak`` is of the smallest search then.
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
    memory = file_memory(memory_limit, sampler)
    file = open_source(source, memory)
    try:
        require(sampler.device)
        passes = Passes(file, target, memory, Report(), progress)
        labels = passes.scan()
        with naming(source):
            make = {c: n for c, n in decided(sampler, labels, target, percentage, dup_size).items() if n}
        rows = passes.to_hold(sampler, make)
        backend, reason = select(sampler.device, sampler._work(rows, labels, make), "cpu")
        with naming(source):
            needs = needs_of(memory, file, sampler, rows, labels, make, backend)
        written = round(file.size * (1 + sum(make.values()) / rows.n_rows))
        size = {**_bytes(needs, memory), "written": written}
    finally:
        file.close()
    made = rows.n_rows, rows.n_features, sum(make.values()), _classes(labels, make)
    return Forecast(str(source), target, *made, backend.name, reason, size, needs.refusal)


def _classes(labels: FileTarget, make: dict[int, int]) -> list[dict[str, Any]]:
    """Rows of each class, now and then."""
    counted = enumerate(zip(labels.names(), labels.counts.tolist(), strict=True))
    return [{"label": label, "before": n, "after": n + make.get(c, 0)} for c, (label, n) in counted]


def _bytes(needs: Needs, memory: FileMemory) -> dict[str, int]:
    """Bytes on the host, and the limit."""
    limit = {} if memory.limit.bytes is None else {"limit": memory.limit.bytes}
    return {"held": needs.held, "needed": needs.needed, "peak": needs.peak, **limit}
