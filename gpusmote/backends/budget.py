"""The memory of a call: what it must hold, what is left for its blocks, and the refusal of what cannot fit.

A call holds the result, its plan, the rows that are searched, and blocks of work. The first three are products of
sizes; the blocks are cut to what is left of the limit. So the sum is an upper bound, whatever the data look like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gpusmote.backends import Backend, memory
from gpusmote.backends.cpu import WorkingMemory
from gpusmote.backends.hosted import HostedBackend
from gpusmote.backends.threads import n_threads
from gpusmote.config import MemoryLimit, parse_memory_limit
from gpusmote.errors import MemoryLimitError
from gpusmote.messages import counted

__all__ = ["Estimate", "Limit", "Sizes", "arrange", "limits_of"]

_MARGIN = {"cpu": 0.05, "cuda": 0.10}
"""Share of the free memory that is left alone where no limit is given: others allocate too, and devices fragment."""

_LEAST = 5 << 18  # bytes of blocks under which no search is tried
_LEAST_PAIRS = 64  # pairs of rows that each thread compares at once, however many columns they have
_INDEX = 8  # bytes of a position, a code, a float64
_POOL = 160  # bytes a row of what a search keeps, whatever the columns: norms, order, groups, nodes of a tree
_FAISS = 1536 << 20  # bytes that FAISS takes for itself if it may
_PINNED = 64 << 20  # bytes of host memory that transfers to and from a device use
_LEAST_ROWS = 64  # of a class that goes through a device in parts


@dataclasses.dataclass(frozen=True)
class Limit:
    """Bytes that a call may allocate in one kind of memory.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
    bytes : int or None
        None if the system does not say what is free.
    given : bool
        Whether ``memory_limit`` decides, not what is free.
    held : int
        Bytes of an existing plan that were taken off what was given.
    """

    kind: str
    bytes: int | None
    given: bool
    held: int = 0

    def left(self, needed: int) -> int:
        """Bytes that remain beside ``needed``; negative if there are too few."""
        return (1 << 62 if self.bytes is None else self.bytes) - needed

    def __str__(self) -> str:
        if not self.given:
            return f"{self.bytes:,} bytes are free"
        beside = f" beside the {self.held:,} of the plan" if self.held else ""
        return f"memory_limit allows {counted(self.bytes or 0, 'byte')}{beside}"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the memory of a call depends on.

    Attributes
    ----------
    n_rows, n_features : int
        Of X.
    itemsize : int
        Bytes of one value of the arrays that the work is done on.
    classes : tuple of (int, int)
        Rows of each class that gets synthetic rows, and how many it gets.
    result : callable
        ``result(n_new)``: bytes of X_resampled, as the container makes it.
    k : int
        Neighbors of a row, at most.
    all_rows : bool
        Whether neighbors are searched among all rows, not only within the class.
    drawn : bool
        Whether the plan holds all random numbers.
    kept : int
        Bytes of copies of X that reading makes and keeps.
    label : int
        Bytes a row that reading y, and making y_resampled, takes at most.
    """

    n_rows: int
    n_features: int
    itemsize: int
    classes: tuple[tuple[int, int], ...]
    result: Callable[[int], int]
    k: int = 1
    all_rows: bool = False
    drawn: bool = False
    kept: int = 0
    label: int = 0

    @property
    def n_new(self) -> int:
        return sum(new for _, new in self.classes)

    def output(self, n_new: int) -> int:
        """Bytes of X_resampled and y_resampled with so many synthetic rows."""
        return self.result(n_new) + self.label * (self.n_rows + n_new)

    @property
    def plan(self) -> int:
        """Bytes of the rows that the plan keeps, their positions, seeds and neighbors, at most."""
        width, total = self.n_features * self.itemsize + _INDEX, 0
        for rows, new in self.classes:
            pairs = rows * min(self.k, self.n_rows)
            kept = min(self.n_rows, rows + pairs) if self.all_rows else rows
            total += kept * width + _INDEX * (3 * rows + pairs * (3 if self.all_rows else 1))
            total += 2 * _INDEX * new * self.drawn
        return total

    def pool(self, copies: int) -> int:
        """Bytes that searches hold of the rows among which they search.

        Parameters
        ----------
        copies : {0, 1, 2}
            As of :class:`~gpusmote.backends.cpu.WorkingMemory`.
        """
        largest = max((rows for rows, _ in self.classes), default=0)
        searched = largest + (self.n_rows if self.all_rows else 0)
        answers = _INDEX * largest * (4 if self.all_rows else 1) * (2 + self.k)
        return searched * self._searched_row(copies) + answers

    def _searched_row(self, copies: int) -> int:
        kept = (0, 4, 12)[copies] + (self.itemsize if copies == 2 else 0)  # in float32, in float64, without duplicates
        return _POOL + self.n_features * (self.itemsize * self.all_rows + kept)

    def part(self) -> int:
        """Bytes a row of a class that is searched in parts on a device, half of them queries."""
        return 2 * (self.n_features * (self.itemsize + 4) + _POOL + 2 * _INDEX * self.k)

    @property
    def least(self) -> int:
        """Bytes of a search on the host, without a result, under which it cannot be done."""
        return self.kept + self.label * self.n_rows + self.plan + self.pool(0) + self.least_blocks

    @property
    def least_blocks(self) -> int:
        """Bytes of blocks that cannot be cut smaller."""
        return max(_LEAST, n_threads() * _LEAST_PAIRS * self.n_features * (8 + self.itemsize))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Upper bounds of what a call holds in memory, in bytes.

    Attributes
    ----------
    where : str
        What does the work: "cpu" or "cuda:N".
    output : int
        Of X_resampled and y_resampled, in the memory where X lies.
    plan, pool, working : int
        Of the plan, of the rows that are searched, and of blocks of work, in the memory of what does the work.
    total : int
        Of all that lies in the memory of what does the work, the output included if it lies there.
    host : int
        Of all that lies in the host's memory.
    memory : WorkingMemory
        How the work is cut.
    """

    where: str
    output: int
    plan: int
    pool: int
    working: int
    total: int
    host: int
    memory: WorkingMemory

    def as_dict(self) -> dict[str, int]:
        """For a report."""
        names = ("output", "plan", "pool", "working", "total", *(("host",) if self.where != "cpu" else ()))
        return {name: getattr(self, name) for name in names}

    def smaller(self) -> Estimate:
        """The same with a quarter of the working memory, and no copies of rows."""
        return dataclasses.replace(self, memory=self.memory.quarter())


def limits_of(asked: MemoryLimit | None, backend: Backend | None, held: int = 0) -> dict[str, Limit]:
    """What a call may allocate on the host and on its device.

    Parameters
    ----------
    asked : int, float, str, dict or None
        As the sampler's parameter.
    backend : Backend
        What does the work.
    held : int, default=0
        Bytes of an existing plan where the work is done: they count towards a limit in bytes.
    """
    device = backend is not None and backend.name != "cpu"
    given = parse_memory_limit(asked, "cuda" if device else "cpu")
    free = {"cpu": memory.available()}
    if device:
        assert backend is not None
        free["cuda"] = backend.free_memory()
    there = "cuda" if device else "cpu"
    return {kind: _limit(kind, given.get(kind), left, held * (kind == there)) for kind, left in free.items()}


def _limit(kind: str, given: int | float | None, free: int | None, held: int) -> Limit:
    if given is None:
        return Limit(kind, None if free is None else int(free * (1 - _MARGIN[kind])), False)
    if isinstance(given, float):
        return Limit(kind, None if free is None else int(free * given), True)
    left = max(0, given - held)
    return Limit(kind, left, True, held) if free is None or left <= free else Limit(kind, free, False)


def arrange(sizes: Sizes, where: str, lies_on: str, limits: dict[str, Limit], *, output: bool = True) -> Estimate:
    """Cut the work so that it keeps within its limits.

    Parameters
    ----------
    sizes : Sizes
    where : str
        What does the work.
    lies_on : str
        Where X lies, and the result will.
    limits : dict of str to Limit
    output : bool, default=True
        Whether the result is made in one piece.

    Raises
    ------
    MemoryLimitError
        If it cannot be cut small enough: it says how many bytes are needed at least, and how many rows would fit.
    """
    made = sizes.kept + (sizes.output(sizes.n_new) if output else sizes.label * sizes.n_rows)
    if where == "cpu":
        held = made + sizes.plan
        found = _cut(limits["cpu"], held, sizes)
        if found is None:
            raise _too_large(limits["cpu"], sizes, made, sizes.plan, sizes.pool(0), sizes.least_blocks, output)
        pool = sizes.pool(found.copies)
        total = held + pool + found.bytes
        return Estimate(where, made, sizes.plan, pool, found.bytes, total, total, found)
    return _arrange_on_device(sizes, where, made, lies_on, limits, output)


def _arrange_on_device(
    sizes: Sizes, where: str, made: int, lies_on: str, limits: dict[str, Limit], output: bool
) -> Estimate:
    limit, there = limits["cuda"], made if lies_on != "cpu" else 0
    plan, host = sizes.plan, _PINNED + (made if lies_on == "cpu" else 0)
    found = _cut(limit, there + plan, sizes, _FAISS)
    pool = sizes.pool(found.copies) if found is not None else 0
    if found is None:  # the rows stay on the host, and go through the device in parts
        left = limit.left(there + sizes.least_blocks)
        rows = left // 2 // sizes.part()
        least = max(_LEAST_ROWS, 2 * (sizes.k + 10))
        if rows < least:
            window = 2 * least * sizes.part()
            raise _too_large(limit, sizes, there, 0, window, sizes.least_blocks, output and there > 0)
        pool, faiss = int(rows * sizes.part()), left // 4
        found = WorkingMemory(sizes.least_blocks + left // 4, 0, int(rows), faiss)
        host += plan + sizes.pool(0) + sizes.least_blocks
        plan = 0
    if limits["cpu"].left(host) < 0:
        raise _too_large(limits["cpu"], sizes, host - _PINNED, 0, 0, _PINNED, output and lies_on == "cpu")
    working = found.bytes + (found.faiss or 0)
    return Estimate(where, made, plan, pool, working, there + plan + pool + working, host, found)


def _cut(limit: Limit, held: int, sizes: Sizes, faiss: int = 0) -> WorkingMemory | None:
    """The largest working memory that the limit leaves, or None: fewer copies of rows, then smaller blocks."""
    usual = WorkingMemory.usual()
    for copies, least in ((2, usual // 2), (1, usual // 2), (0, sizes.least_blocks)):
        left = limit.left(held + sizes.pool(copies))
        own = left if not faiss else left - min(faiss, left // 2)
        if own >= least:
            return WorkingMemory(max(least, min(usual, own)), copies, None, min(faiss, left - own) if faiss else None)
    return None


def fit(estimate: Estimate, backend: Backend) -> Backend:
    """The backend with its work cut; where a class is larger than the device, one whose rows stay on the host."""
    backend = backend.within(estimate.memory)
    if estimate.memory.pool_rows is None:
        return backend
    return HostedBackend(backend).within(WorkingMemory(WorkingMemory.usual(), 0))


def _too_large(
    limit: Limit, sizes: Sizes, result: int, plan: int, pool: int, blocks: int, output: bool
) -> MemoryLimitError:
    """What is needed at least, what takes how much of it, largest first, and what can be done."""
    where = "on the host" if limit.kind == "cpu" else "on the device"
    parts = {"the result": result, "the plan": plan, "copies of rows": pool, "blocks": blocks}
    told = ", ".join(f"{what} {size:,}" for what, size in sorted(parts.items(), key=lambda part: -part[1]) if size)
    least = sum(parts.values())
    hint = f"memory_limit={least + limit.held} is the least that works." if limit.given else "Use more memory."
    if output:
        each = (sizes.output(sizes.n_new) - sizes.output(0)) / max(1, sizes.n_new)
        fits = sizes.n_new - int(-limit.left(least) // max(1, each)) - 1
        fewer = f"ask for fewer rows ({counted(fits, 'synthetic row')} would fit), or " if fits > 0 else ""
        hint += f" Or {fewer}make them in batches: plan = sampler.plan(X, y), then plan.batches(size)."
    columns = counted(sizes.n_features, "column")
    if output and limit.left(result) < 0:
        what = f"The result would have {counted(sizes.n_rows + sizes.n_new, 'row')} x {columns}. To make it takes"
    else:
        what = f"The work on {counted(sizes.n_rows, 'row')} x {columns} needs"
    return MemoryLimitError(f"{what} at least {least:,} bytes ({told}); {limit} {where}.", hint)
