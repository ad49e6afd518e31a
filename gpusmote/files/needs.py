"""What a run holds on the host by turns, and whether that fits, before any row is read."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpusmote.backends import Backend
from gpusmote.backends.budget import Estimate, Limit, arrange, limits_of
from gpusmote.base.sampler import BaseSampler
from gpusmote.config import parse_device, setting
from gpusmote.errors import MemoryLimitError
from gpusmote.files.budget import Budget
from gpusmote.files.labels import FileTarget
from gpusmote.files.resident_rows import ResidentRows
from gpusmote.messages import counted

__all__ = ["Needs", "beside_plan", "check_plan", "left_of", "needs_of"]


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


def beside_plan(rows: ResidentRows, labels: FileTarget) -> int:
    """Bytes that are held during the search and are no part of the plan."""
    return rows.nbytes_beside + int(labels.codes.nbytes)


def left_of(budget: Budget, beside: int) -> dict[str, int | float] | None:
    """The ``memory_limit`` of a search, with ``beside`` bytes held; None where nobody asked for a limit."""
    if "cpu" not in budget.asked or budget.limit is None:
        return dict(budget.asked) or None
    return {**budget.asked, "cpu": max(1, budget.limit - beside)}


def needs_of(
    sampler: BaseSampler, rows: ResidentRows, labels: FileTarget, make: dict[int, int], backend: Backend, budget: Budget
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
    plan = search = least = 0
    refused: MemoryLimitError | None = None
    if make:
        sizes = sampler._sizes(rows, labels, make)
        plan, least = sizes.plan, sizes.least
        try:
            search = _estimate(sampler, sizes, backend, left_of(budget, beside)).host
        except MemoryLimitError as error:
            refused, search = error, least
    planned = int(labels.codes.nbytes) + plan
    least = budget.least(held, planned, result, beside + least)
    if refused is not None:
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
    peak = max(needed, beside + search, planned + budget.streaming(result))
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
        f"The neighbors and the rows that are held take {planned:,} bytes",
        _advice(least, "Or take fewer neighbors"),
    )


def _advice(least: int, instead: str = "Or use a machine with more memory") -> str:
    return f"memory_limit={least} is the least that works. {instead}."


def _told(rows: ResidentRows, everyone: str, held: int) -> str:
    whose = f"of which {everyone} sees all" if everyone else "of the classes that get rows"
    return f"{counted(rows.n_held, 'row')} x {counted(rows.n_features, 'column')} {whose} must be held, {held:,} bytes"


def _estimate(sampler: BaseSampler, sizes: Any, backend: Backend, left: Any) -> Estimate:
    """The memory of the search; where a device that nobody asked for has no room, of the search on the CPU."""
    limits = limits_of(left, backend)
    if backend.name != "cpu":
        try:
            arrange(sizes, backend.name, "cpu", {**limits, "cpu": Limit("cpu", None, False)}, output=False)
        except MemoryLimitError:
            automatic = parse_device(sampler.device)[0] == "auto" == parse_device(setting("device"))[0]
            if left is not None or not automatic:
                raise
            return arrange(sizes, "cpu", "cpu", limits, output=False)
    return arrange(sizes, backend.name, "cpu", limits, output=False)
