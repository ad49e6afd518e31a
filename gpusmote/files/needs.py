"""What a run holds on the host by turns, and whether that fits, before any row is read."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from gpusmote.backends import Backend, detect
from gpusmote.config import parse_device, setting
from gpusmote.errors import MemoryLimitError
from gpusmote.estimate import Estimate, Limit, arrange, limits_of
from gpusmote.files.budget import Budget
from gpusmote.files.held import HeldRows
from gpusmote.files.labels import FileTarget
from gpusmote.sampler import BaseSampler
from gpusmote.words import counted

__all__ = ["Needs", "beside_plan", "check_plan", "in_search", "left_of", "needs_of"]

_SLACK = 1.25  # of the arrays of a search: with what the C library keeps between them
_KEY = 64  # of the random stream and such, a class: what an estimate leaves out


@dataclasses.dataclass(frozen=True)
class Needs:
    """Bytes on the host.

    Attributes
    ----------
    held : int
        Of the rows that are read, and all labels.
    needed : int
        With the blocks that stream by.
    peak : int
        The most at any one time.
    least : int
        The least limit under which the run may begin.
    refusal : MemoryLimitError or None
        Why the run may not begin; its hint tells a limit under which it may.
    """

    held: int
    needed: int
    peak: int
    least: int
    refusal: MemoryLimitError | None


def beside_plan(rows: HeldRows, labels: FileTarget) -> int:
    """Bytes that are held during the search and are no part of the plan."""
    return rows.nbytes_beside + int(labels.codes.nbytes)


def left_of(budget: Budget, beside: int) -> dict[str, int | float] | None:
    """The ``memory_limit`` of a search, with ``beside`` bytes held; None where nobody asked for a limit."""
    if "cpu" not in budget.asked or budget.limit is None:
        return dict(budget.asked) or None
    return {**budget.asked, "cpu": max(1, int((budget.limit - beside) / _SLACK))}


def in_search(beside: int, total: int) -> int:
    """Bytes during a search whose arrays have ``total`` bytes, with ``beside`` bytes held."""
    return beside + math.ceil(total * _SLACK)


def needs_of(
    sampler: BaseSampler, rows: HeldRows, labels: FileTarget, make: dict[int, int], backend: Backend, budget: Budget
) -> Needs:
    """What a run needs, and whether it may have that.

    Parameters
    ----------
    sampler, rows, labels : object
        No row need be filled in.
    make : dict of int to int
        Rows to make for each class that gets any.
    backend : Backend
        What does the search.
    budget : Budget
        With the traffic of the source.

    Raises
    ------
    MemoryLimitError
        If there is too little room on the device.
    """
    beside, held = beside_plan(rows, labels) + budget.libraries, rows.nbytes + int(labels.codes.nbytes)
    result = rows.n_rows + sum(make.values())
    plan = search = most = 0
    refused: MemoryLimitError | None = None
    if make:
        found, refused = _Search(sampler, rows, labels, make, backend, left_of(budget, beside)).arranged()
        plan = max(part.plan for part in (found.host, found.device) if part is not None) + _KEY * len(make)
        search, most = found.host.total, found.host.most
    planned = int(labels.codes.nbytes) + plan
    least = budget.least(held, planned, result, in_search(beside, most + 1))
    if refused is not None and refused.hint.startswith("memory_limit="):
        refused = MemoryLimitError(f"{refused.message} Beside that {beside:,} bytes are held.", _advice(least))
    everyone = bool(make) and sampler._looks_at_all_rows
    try:
        budget.check(
            held, budget.reading(), _told(rows, type(sampler).__name__ if everyone else "", held), _advice(least)
        )
        check_plan(budget, planned, result, least)
    except MemoryLimitError as error:
        refused = error
    needed = held + budget.reading()
    peak = max(needed, in_search(beside, most if refused else search), planned + budget.streaming(result))
    return Needs(held, needed, peak, least, refused)


def check_plan(budget: Budget, planned: int, result: int, least: int) -> None:
    """Raise unless the plan, and what is held with it, fit beside a result of so many rows that streams by.

    Raises
    ------
    MemoryLimitError
    """
    budget.check(
        planned,
        budget.streaming(result),
        f"The neighbours and the rows that are held take {planned:,} bytes",
        _advice(least, "Or take fewer neighbours"),
    )


def _advice(least: int, instead: str = "Or use a machine with more memory") -> str:
    return f"memory_limit={least} is the least that works. {instead}."


def _told(rows: HeldRows, everyone: str, held: int) -> str:
    whose = f"of which {everyone} sees all" if everyone else "of the classes that get rows"
    return f"{counted(rows.n_held, 'row')} x {counted(rows.n_features, 'column')} {whose} must be held, {held:,} bytes"


class _Search:
    """The cut of a search within what is left of a limit."""

    def __init__(
        self,
        sampler: BaseSampler,
        rows: HeldRows,
        labels: FileTarget,
        make: dict[int, int],
        backend: Backend,
        left: Any,
    ) -> None:
        self._shape = dataclasses.replace(sampler._shape(rows, labels, make), encodes=False)
        self._where, self._limits = backend.name, limits_of(left, backend)
        self._faiss = backend.name != "cpu" and detect.look().has_faiss
        automatic = parse_device(sampler.device)[0] == "auto" == parse_device(setting("device"))[0]
        if self._where != "cpu" and automatic and left is None:
            try:
                self._within(None)
            except MemoryLimitError:  # the CPU makes up for it
                self._where = "cpu"

    def arranged(self) -> tuple[Estimate, MemoryLimitError | None]:
        """The cut; where there is none, the one that needs least on the host, and the error."""
        self._within(None)  # if the device has no room, this raises
        try:
            return self._within(self._limits["cpu"].bytes), None
        except MemoryLimitError as error:
            return self._least(), error

    def _within(self, limit: int | None) -> Estimate:
        limits = {**self._limits, "cpu": Limit("cpu", limit, self._limits["cpu"].given)}
        return arrange(self._shape, self._where, "cpu", limits, output=False, faiss=self._faiss)

    def _least(self) -> Estimate:
        best, low = self._within(None), 0
        while low < best.host.most - 1:  # what fits into ``low`` is not known to be possible
            middle = (low + best.host.most) // 2
            try:
                best = self._within(middle)
            except MemoryLimitError:
                low = middle
        return best
