"""Plan the memory of a call: what it must hold, what is left for blocks of work, and an error if it cannot fit.

A call holds its result, its plan, the rows that are searched, and blocks of work. The first three are products of
sizes. The blocks are made to fit into what is left of the limit. So the sum is an upper bound for any data.
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

__all__ = ["FAISS_WORKSPACE", "Estimate", "Limit", "Sizes", "arrange", "limits_of"]

_MARGIN = {"cpu": 0.05, "cuda": 0.10}
"""Share of the free memory that is not used if no limit is given, for other allocations and for fragmentation."""

FAISS_WORKSPACE = 1536 << 20
"""Bytes of temporary memory that FAISS allocates by default; it never needs more."""

_LEAST = 5 << 18  # bytes of blocks that any search needs
_LEAST_PAIRS = 64  # pairs of rows in one block of a thread, for any number of columns
_INDEX = 8  # bytes of a row number, a class code or a float64
_POOL = 160  # bytes that a search keeps for each row besides its values: norms, order, groups, tree nodes
_SPARSE_SCORE, _SPARSE_ENTRY = 96, 128  # bytes for each score and entry of a search among sparse rows
_PINNED = 64 << 20  # bytes of host memory for transfers to and from a device
_LEAST_ROWS = 64  # rows of one part, if a class does not fit on the device


@dataclasses.dataclass(frozen=True)
class Limit:
    """Bytes that a call may allocate in one kind of memory.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
    bytes : int or None
        None if the free memory is unknown.
    given : bool
        True if ``memory_limit`` decides, False if the free memory does.
    held : int
        Bytes of an existing plan, already subtracted from the given limit.
    """

    kind: str
    bytes: int | None
    given: bool
    held: int = 0

    def left(self, needed: int) -> int:
        """Bytes that remain after ``needed``; negative if there are too few."""
        return (1 << 62 if self.bytes is None else self.bytes) - needed

    def __str__(self) -> str:
        if not self.given:
            return f"{self.bytes:,} bytes are free"
        plan = f" besides the {self.held:,} bytes of the plan" if self.held else ""
        return f"memory_limit allows {counted(self.bytes or 0, 'byte')}{plan}"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes that the memory of a call depends on.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of X.
    itemsize : int
        Bytes of one value in the work arrays.
    classes : tuple of (int, int)
        Rows, and number of synthetic rows, of each class that gets any.
    result : callable
        ``result(n_new)`` returns the bytes of X_resampled in its container.
    k : int
        Largest number of neighbors of a row.
    all_rows : bool
        Whether neighbors are also searched among all rows, not only within the class.
    drawn : bool
        Whether the plan stores all random numbers.
    kept : int
        Bytes of copies of X that reading it makes and keeps.
    label : int
        Upper bound, in bytes for each row, for reading y and making y_resampled.
    entries : tuple of (int, int), optional
        Stored entries of a sparse X whose rows stay sparse, and the largest number of entries of a row.
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
    entries: tuple[int, int] | None = None

    @property
    def n_new(self) -> int:
        return sum(new for _, new in self.classes)

    def output(self, n_new: int) -> int:
        """Bytes of X_resampled and y_resampled with ``n_new`` synthetic rows."""
        return self.result(n_new) + self.label * (self.n_rows + n_new)

    @property
    def plan(self) -> int:
        """Upper bound for the bytes of the rows, row numbers, seeds and neighbors in the plan."""
        total = 0
        for rows, new in self.classes:
            pairs = rows * min(self.k, self.n_rows)
            kept = min(self.n_rows, rows + pairs) if self.all_rows else rows
            total += self.values(kept, self.itemsize) + _INDEX * (kept + 3 * rows + pairs * (3 if self.all_rows else 1))
            total += 2 * _INDEX * new * self.drawn
        return total

    def values(self, rows: int, itemsize: int) -> int:
        """Bytes of so many rows of X."""
        if self.entries is None:
            return rows * self.n_features * itemsize
        total, widest = self.entries
        return min(total, rows * widest) * (itemsize + _INDEX) + rows * _INDEX

    def pool(self, copies: int) -> int:
        """Bytes that a search holds for the rows it searches among.

        Parameters
        ----------
        copies : {0, 1, 2}
            See :class:`~gpusmote.backends.cpu.WorkingMemory`.
        """
        largest = max((rows for rows, _ in self.classes), default=0)
        searched = largest + (self.n_rows if self.all_rows else 0)
        answers = _INDEX * largest * (4 if self.all_rows else 1) * (2 + self.k)
        if self.entries is not None:  # the rows, in float64, and transposed, and what converts them
            return searched * _POOL + 5 * self.values(searched, 8) + 6 * _INDEX * self.n_features + answers
        return searched * self._searched_row(copies) + answers

    def _searched_row(self, copies: int) -> int:
        # Copies in float32, in float64, and without duplicates.
        kept = (0, 4, 12)[copies] + (self.itemsize if copies == 2 else 0)
        return _POOL + self.n_features * (self.itemsize * self.all_rows + kept)

    def part(self) -> int:
        """Bytes for each row that a device holds while it searches a class in parts, including as many queries."""
        return 2 * (self.n_features * (self.itemsize + 4) + _POOL + 2 * _INDEX * self.k)

    @property
    def least(self) -> int:
        """The least bytes with which a search on the host can work, without its result."""
        return self.kept + self.label * self.n_rows + self.plan + self.pool(0) + self.least_blocks

    @property
    def least_blocks(self) -> int:
        """Bytes of the smallest possible blocks."""
        if self.entries is not None:  # one query and all rows, and two pairs of the longest rows
            return max(_LEAST, 2 * n_threads() * (_SPARSE_SCORE * self.n_rows + 2 * _SPARSE_ENTRY * self.entries[1]))
        return max(_LEAST, n_threads() * _LEAST_PAIRS * self.n_features * (48 + 8 + self.itemsize))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Upper bounds for the memory of a call, in bytes.

    Attributes
    ----------
    where : str
        The device that does the work: "cpu" or "cuda:N".
    output : int
        X_resampled and y_resampled, in the memory that holds X.
    plan, pool, working : int
        The plan, the rows that are searched, and blocks of work, in the memory of the device that does the work.
    total : int
        Everything in the memory of that device, with the output if it is there.
    host : int
        Everything in the memory of the host.
    memory : WorkingMemory
        The memory for blocks of work.
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
        """The numbers for a report."""
        names = ("output", "plan", "pool", "working", "total", *(("host",) if self.where != "cpu" else ()))
        return {name: getattr(self, name) for name in names}

    def smaller(self) -> Estimate:
        """The same estimate with a quarter of the working memory, and no copies of rows."""
        return dataclasses.replace(self, memory=self.memory.quarter())


def limits_of(memory_limit: MemoryLimit | None, backend: Backend | None, held: int = 0) -> dict[str, Limit]:
    """The memory limits of a call on the host and on its device.

    Parameters
    ----------
    memory_limit : int, float, str, dict or None
        The parameter ``memory_limit`` of the sampler.
    backend : Backend
        The device that does the work.
    held : int, default=0
        Bytes of an existing plan on the device that does the work. They count towards a limit in bytes.
    """
    device = backend is not None and backend.name != "cpu"
    given = parse_memory_limit(memory_limit, "cuda" if device else "cpu")
    free = {"cpu": memory.available()}
    if device:
        assert backend is not None
        free["cuda"] = backend.free_memory()
    working = "cuda" if device else "cpu"
    return {kind: _limit(kind, given.get(kind), left, held * (kind == working)) for kind, left in free.items()}


def _limit(kind: str, given: int | float | None, free: int | None, held: int) -> Limit:
    if given is None:
        return Limit(kind, None if free is None else int(free * (1 - _MARGIN[kind])), False)
    if isinstance(given, float):
        return Limit(kind, None if free is None else int(free * given), True)
    left = max(0, given - held)
    return Limit(kind, left, True, held) if free is None or left <= free else Limit(kind, free, False)


def arrange(sizes: Sizes, where: str, lies_on: str, limits: dict[str, Limit], *, output: bool = True) -> Estimate:
    """Choose the working memory of a call so that it stays within its limits.

    Parameters
    ----------
    sizes : Sizes
    where : str
        The device that does the work: "cpu" or "cuda:N".
    lies_on : str
        The device that holds X, and will hold the result.
    limits : dict of str to Limit
    output : bool, default=True
        Whether the whole result is made in one piece.

    Raises
    ------
    MemoryLimitError
        If even the smallest blocks do not fit. The message gives the least bytes needed and how many rows would fit.
    """
    made = sizes.kept + (sizes.output(sizes.n_new) if output else sizes.label * sizes.n_rows)
    if where == "cpu":
        held = made + sizes.plan
        found = _working_memory(limits["cpu"], held, sizes)
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
    found = _working_memory(limit, there + plan, sizes, FAISS_WORKSPACE)
    pool = sizes.pool(found.copies) if found is not None else 0
    if found is None:  # the rows stay on the host and are copied to the device in parts
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


def _working_memory(limit: Limit, held: int, sizes: Sizes, faiss: int = 0) -> WorkingMemory | None:
    """The largest working memory within the limit, or None. It drops copies of rows before it makes blocks smaller."""
    usual = WorkingMemory.usual()
    choices = [(2, usual // 2), (1, usual // 2), (0, sizes.least_blocks)]
    for copies, least in choices if sizes.entries is None else choices[2:]:  # a sparse search always has its copies
        left = limit.left(held + sizes.pool(copies))
        own = left if not faiss else left - min(faiss, left // 2)
        if own >= least:
            return WorkingMemory(max(least, min(usual, own)), copies, None, min(faiss, left - own) if faiss else None)
    return None


def fit(estimate: Estimate, backend: Backend) -> Backend:
    """The backend with this working memory; one that keeps the rows on the host if they do not fit on the device."""
    backend = backend.within(estimate.memory)
    if estimate.memory.pool_rows is None:
        return backend
    return HostedBackend(backend).within(WorkingMemory(WorkingMemory.usual(), 0))


def _too_large(
    limit: Limit, sizes: Sizes, result: int, plan: int, pool: int, blocks: int, output: bool
) -> MemoryLimitError:
    """An error with the least bytes needed, their parts (largest first), and what the caller can do."""
    where = "on the host" if limit.kind == "cpu" else "on the device"
    parts = {"the result": result, "the plan": plan, "copies of rows": pool, "blocks": blocks}
    listed = ", ".join(f"{what} {size:,}" for what, size in sorted(parts.items(), key=lambda part: -part[1]) if size)
    least = sum(parts.values())
    hint = f"memory_limit={least + limit.held} is the least that works." if limit.given else "Use more memory."
    if output:
        each = (sizes.output(sizes.n_new) - sizes.output(0)) / max(1, sizes.n_new)
        fits = sizes.n_new - int(-limit.left(least) // max(1, each)) - 1
        fewer = f"ask for fewer rows ({counted(fits, 'synthetic row')} would fit), or " if fits > 0 else ""
        hint += f" Or {fewer}make them in batches: plan = sampler.plan(X, y), then plan.batches(size)."
    columns = counted(sizes.n_features, "column")
    if output and limit.left(result) < 0:
        what = f"The result would have {counted(sizes.n_rows + sizes.n_new, 'row')} x {columns}. Making it needs"
    else:
        what = f"The work on {counted(sizes.n_rows, 'row')} x {columns} needs"
    return MemoryLimitError(f"{what} at least {least:,} bytes ({listed}); {limit} {where}.", hint)
