"""What a run holds on the host by turns, and whether that fits, before any row is read."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpusmote.backends import Backend, detect
from gpusmote.config import get_config, parse_device
from gpusmote.errors import MemoryLimitError
from gpusmote.estimate import Estimate, Limit, arrange, limits_of
from gpusmote.files.budget import Budget, least_limit
from gpusmote.files.held import HeldRows
from gpusmote.files.labels import FileTarget
from gpusmote.sampler import BaseSampler

__all__ = ["Needs", "beside_plan", "left_of", "needs_of"]

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
    """Bytes that are held throughout and are no part of the plan."""
    return rows.nbytes_beside + int(labels.codes.nbytes)


def left_of(budget: Budget, beside: int) -> Any:
    """The ``memory_limit`` of a search, with ``beside`` bytes held."""
    if budget.asked is None or budget.limit is None:
        return budget.asked
    left: dict[str, Any] = dict(budget.asked) if isinstance(budget.asked, dict) else {}
    return {**left, "cpu": max(1, budget.limit - beside)}


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

    Raises
    ------
    MemoryLimitError
        If there is too little room on the device.
    """
    n_columns = rows.n_features + 1
    beside, held = beside_plan(rows, labels), rows.nbytes + int(labels.codes.nbytes)
    streaming = budget.streaming(n_columns)
    plan = search = most = 0
    refused: MemoryLimitError | None = None
    if make:
        found, refused = _Search(sampler, rows, labels, make, backend, left_of(budget, beside)).arranged()
        plan = max(part.plan for part in (found.host, found.device) if part is not None) + _KEY * len(make)
        search, most = found.host.total, found.host.most
    everyone = bool(make) and sampler._looks_at_all_rows
    whose = f"of which {type(sampler).__name__} sees all" if everyone else "of the classes that get rows"
    least = least_limit(max(held, beside + plan), beside + most, n_columns)
    if refused is not None and refused.hint.startswith("memory_limit="):
        refused = MemoryLimitError(
            f"{refused.message} Beside that {beside:,} bytes are held.",
            f"Give a memory_limit of at least {least:,} bytes, or use a machine with more memory.",
        )
    try:
        budget.check(held, rows.n_held, rows.n_features, n_columns, whose, least)
        budget.check_plan(beside + plan, n_columns, least)
    except MemoryLimitError as error:
        refused = error
    peak = max(held + streaming, beside + max(plan + streaming, most if refused else search))
    return Needs(held, held + streaming, peak, least, refused)


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
        automatic = parse_device(sampler.device)[0] == parse_device(get_config()["device"])[0] == "auto"
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
