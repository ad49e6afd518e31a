"""One call of a sampler, tried again where that can help: with smaller blocks, or on the CPU."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gpusmote.backends import Backend, select, translate_errors
from gpusmote.backends.budget import Estimate, arrange, fit, limits_of
from gpusmote.backends.device import warn_once
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
    """What a sampler was asked, checked.

    Attributes
    ----------
    sampler : BaseSampler
    table : Table
    target : Target
    make : dict of int to int
        Rows to make for each class that gets any.
    checked : float
        Seconds that the check took.
    """

    sampler: Any
    table: Table
    target: Target
    make: dict[int, int]
    checked: float

    def run(self, finish: Callable[[Plan], Result], output: bool) -> Result:
        """``finish(plan)``, wherever the plan can be made.

        Where the device was chosen by gpusmote and X lies on the host, the CPU does the work of a device that fails or
        has no room, with a warning; the process remembers a device that failed. Where memory runs out, the call is
        tried once more with blocks of half the size. Each attempt draws the same random numbers. Nothing can be done
        where FAISS ends the process, as it does on every CUDA error but a failed allocation.

        Parameters
        ----------
        finish : callable
        output : bool
            Whether ``finish`` makes the result in one piece.
        """
        rewind = _Rewind(self.sampler)
        backend: Backend | None = None
        try:
            backend, reason = self._select()
            return self._within_memory(backend, reason, finish, output, rewind)
        except (DeviceError, MemoryLimitError) as error:
            name = "the CUDA device" if backend is None else backend.name
            why = self._surrender(error, backend)
            if why is None:
                raise
            note = f"The work was done on the CPU, because {name} {why}: {error.message}"
            _let_go(error)
        warn_once(note)
        rewind()
        return self._within_memory(Backend(), note, finish, output, rewind, note)

    def _select(self) -> tuple[Backend, str]:
        try:
            return select(
                self.sampler.device, self.sampler._work(self.table, self.target, self.make), self.table.device
            )
        except RuntimeError as error:  # CuPy, asked which device is current
            found = translate_errors.translate(error, "CUDA")
            if found is None:
                raise
            raise found from error

    def _surrender(self, error: GpusmoteError, backend: Backend | None) -> str | None:
        """What to tell where the CPU is to take over, or None."""
        automatic = parse_device(self.sampler.device)[0] == "auto" == parse_device(setting("device"))[0]
        automatic = automatic and self.table.device == "cpu"
        if isinstance(error, DeviceError):
            if backend is not None and backend.name != "cpu" and (automatic or isinstance(error, DeviceLostError)):
                translate_errors.remember(backend.name, error.message)
            return "failed" if automatic else None
        elsewhere = backend is not None and backend.name != "cpu" and self._asked() is None
        return "has too little memory" if automatic and elsewhere else None

    def _asked(self) -> Any:
        asked = self.sampler.memory_limit
        return setting("memory_limit") if asked is None else asked

    def _within_memory(
        self,
        backend: Backend,
        reason: str,
        finish: Callable[[Plan], Result],
        output: bool,
        rewind: _Rewind,
        note: str = "",
    ) -> Result:
        limits = limits_of(self._asked(), backend)
        sizes = self.sampler._sizes(self.table, self.target, self.make)
        estimate = arrange(sizes, backend.name, self.table.device, limits, output=output)
        report = Report(reason=reason, notes=[note] if note else [], seconds={"check": self.checked})
        try:
            return finish(self._plan(backend, estimate, report))
        except MemoryShortageError as error:
            first = error.message
            _let_go(error)
        backend.release()
        rewind()
        again = f"{first} It was tried again with a quarter of the working memory."
        report = Report(reason=reason, notes=[*report.notes, again], seconds={"check": self.checked})
        logger.warning("%s", again)
        try:
            return finish(self._plan(backend, estimate.smaller(), report))
        except MemoryShortageError as error:
            free = limits_of(None, backend)["cpu" if backend.name == "cpu" else "cuda"].bytes
            raise MemoryLimitError(
                f"{error.message} With a quarter of the working memory it ran out again; the call needs up to "
                f"{estimate.total:,} bytes.",
                f"memory_limit={max(1, (free or estimate.total) // 2)} would take half of what is free now.",
            ) from error

    def _plan(self, backend: Backend, estimate: Estimate, report: Report) -> Plan:
        """The plan, of work that is cut as the estimate says."""
        sampler = self.sampler
        sampler.device_ = report.device = backend.name
        logger.info("%s runs on %s: %s", type(sampler).__name__, backend.name, report.reason)
        if estimate.memory.pool_rows is not None:
            rows = f"{estimate.memory.pool_rows:,} rows at a time"
            report.notes.append(f"{backend.name} has no room for all rows: they go through it in blocks, {rows}.")
        report.bytes.update(estimate.as_dict())
        plan: Plan = sampler._planned(fit(estimate, backend), self.table, self.target, self.make, report)
        plan.memory_limit = sampler.memory_limit
        return plan


class _Rewind:
    """Put a generator of the caller's back to where a call found it, so that another attempt draws the same."""

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


def _let_go(error: BaseException) -> None:
    """Drop the frames that an error keeps, and with them the arrays that are to make room."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            found.__traceback__ = None
            todo += [found.__cause__, found.__context__]
