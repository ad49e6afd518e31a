"""Execution of one call of a sampler, with a retry in smaller blocks and a fallback to the CPU."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gpusmote.backends import Backend, select, translate_errors
from gpusmote.backends.budget import Estimate, arrange, fit, limits_of
from gpusmote.backends.device import require, warn_once
from gpusmote.config import parse_device, setting
from gpusmote.containers import Table, Target
from gpusmote.errors import DeviceError, DeviceLostError, GpusmoteError, MemoryLimitError, MemoryShortageError
from gpusmote.synthesis.plan import Plan
from gpusmote.synthesis.report import Report

__all__ = ["Execution"]

logger = logging.getLogger("gpusmote")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Execution:
    """One call of a sampler, with checked input.

    Attributes
    ----------
    sampler : BaseSampler
    table : Table
        X.
    target : Target
        y.
    make : dict of int to int
        Number of rows to make, for each class that gets any.
    checked : float
        Seconds that the checks took.
    """

    sampler: Any
    table: Table
    target: Target
    make: dict[int, int]
    checked: float

    def run(self, finish: Callable[[Plan], Result], output: bool) -> Result:
        """Make the plan and return ``finish(plan)``.

        If the device was chosen automatically and X is on the host, the call falls back to the CPU with a warning when
        the device fails or has too little memory; a device that failed is not used again in this process. If memory
        runs out, the call is tried once more with a quarter of the working memory. Each attempt draws the same random
        numbers. There is no fallback from errors on which FAISS ends the process: every CUDA error except a failed
        allocation.

        Parameters
        ----------
        finish : callable
            Takes a plan and returns the result.
        output : bool
            Whether ``finish`` makes all rows at once.
        """
        rewind = _Rewind(self.sampler)
        backend: Backend | None = None
        try:
            backend, reason = self._select()
            return self._within_memory(backend, reason, finish, output, rewind)
        except (DeviceError, MemoryLimitError) as error:
            name = "the CUDA device" if backend is None else backend.name
            why = self._fallback_reason(error, backend)
            if why is None:
                raise
            note = f"The work was done on the CPU, because {name} {why}: {error.message}"
            _drop_tracebacks(error)
        warn_once(note)
        rewind()
        return self._within_memory(Backend(), note, finish, output, rewind, note)

    def _select(self) -> tuple[Backend, str]:
        work = self.sampler._work(self.table, self.target, self.make)
        try:
            if self.table.sparse:
                require(self.sampler.device)
                return Backend(), "X is a wide sparse matrix, whose rows stay sparse on the CPU"
            return select(self.sampler.device, work, self.table.device)
        except RuntimeError as error:  # CuPy could not tell the current device
            found = translate_errors.translate(error, "CUDA")
            if found is None:
                raise
            raise found from error

    def _fallback_reason(self, error: GpusmoteError, backend: Backend | None) -> str | None:
        """Why the call falls back to the CPU; None if it must not."""
        automatic = parse_device(self.sampler.device)[0] == "auto" == parse_device(setting("device"))[0]
        automatic = automatic and self.table.device == "cpu"
        if isinstance(error, DeviceError):
            if backend is not None and backend.name != "cpu" and (automatic or isinstance(error, DeviceLostError)):
                translate_errors.remember(backend.name, error.message)
            return "failed" if automatic else None
        unlimited = backend is not None and backend.name != "cpu" and self._memory_limit() is None
        return "has too little memory" if automatic and unlimited else None

    def _memory_limit(self) -> Any:
        limit = self.sampler.memory_limit
        return setting("memory_limit") if limit is None else limit

    def _within_memory(
        self,
        backend: Backend,
        reason: str,
        finish: Callable[[Plan], Result],
        output: bool,
        rewind: _Rewind,
        note: str = "",
    ) -> Result:
        limits = limits_of(self._memory_limit(), backend)
        sizes = self.sampler._sizes(self.table, self.target, self.make)
        estimate = arrange(sizes, backend.name, self.table.device, limits, output=output)
        report = Report(reason=reason, notes=[note] if note else [], seconds={"check": self.checked})
        try:
            return finish(self._plan(backend, estimate, report))
        except MemoryShortageError as error:
            first = error.message
            _drop_tracebacks(error)
        backend.release()
        rewind()
        again = f"{first} The call was tried again with a quarter of the working memory."
        report = Report(reason=reason, notes=[*report.notes, again], seconds={"check": self.checked})
        logger.warning("%s", again)
        try:
            return finish(self._plan(backend, estimate.smaller(), report))
        except MemoryShortageError as error:
            free = limits_of(None, backend)["cpu" if backend.name == "cpu" else "cuda"].bytes
            raise MemoryLimitError(
                f"{error.message} With a quarter of the working memory it ran out again; the call needs up to "
                f"{estimate.total:,} bytes.",
                f"memory_limit={max(1, (free or estimate.total) // 2)} is half of the memory that is free now.",
            ) from error

    def _plan(self, backend: Backend, estimate: Estimate, report: Report) -> Plan:
        """The plan, made in blocks of the sizes in the estimate."""
        sampler = self.sampler
        sampler.device_ = report.device = backend.name
        logger.info("%s runs on %s: %s", type(sampler).__name__, backend.name, report.reason)
        if estimate.memory.pool_rows is not None:
            rows = f"{estimate.memory.pool_rows:,} rows at a time"
            report.notes.append(f"The rows do not fit on {backend.name}: they are searched in blocks, {rows}.")
        report.bytes.update(estimate.as_dict())
        plan: Plan = sampler._planned(fit(estimate, backend), self.table, self.target, self.make, report)
        plan.memory_limit = sampler.memory_limit
        return plan


class _Rewind:
    """Restore the state of the caller's generator, so that another attempt draws the same numbers."""

    def __init__(self, sampler: Any) -> None:
        state = sampler.random_state
        legacy = (sampler.bit_generator or setting("bit_generator")) == "mt19937"
        self._restore: Callable[[], Any] = lambda: None
        if isinstance(state, np.random.Generator):
            bits, found = state.bit_generator, state.bit_generator.state
            self._restore = lambda: setattr(bits, "state", found)
        elif isinstance(state, np.random.RandomState) or (state is None and legacy):
            source = np.random if state is None else state
            before = source.get_state()
            self._restore = lambda: source.set_state(before)

    def __call__(self) -> None:
        self._restore()


def _drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an error, whose frames keep large arrays alive."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            found.__traceback__ = None
            todo += [found.__cause__, found.__context__]
