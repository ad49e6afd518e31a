"""How much memory a call needs, and how its work is cut so that it keeps within what it may have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from gpusmote.backends import Backend, detect, memory
from gpusmote.backends.base import Cut
from gpusmote.backends.hosted import HostedBackend
from gpusmote.config import MemoryLimit, parse_memory_limit
from gpusmote.errors import MemoryLimitError
from gpusmote.footprint import (
    Bytes,
    Shape,
    beside_a_device,
    on_device,
    on_host,
    rows_on_device,
    rows_on_host,
    through_device,
)
from gpusmote.neighbours.faiss_gpu import MOST_WORKSPACE, faiss_workspace
from gpusmote.words import counted

__all__ = ["Estimate", "Limit", "arrange", "arrange_rows", "limits_of"]

_MARGIN = {"cpu": 0.05, "cuda": 0.10}
"""Of what is free, left alone where no limit is given: others allocate too, and on a device memory is fragmented."""

_MACHINE = "Use a machine with more memory."
_BATCHES = "let a plan make them by and by (plan = sampler.plan(X, y)): plan.batches(size) never holds them all"

_SCALES = tuple(2.0**-i for i in range(7))
_LEAST_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Limit:
    """Bytes that a call may allocate in one kind of memory.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
    bytes : int or None
        None where nobody knows what is free.
    given : bool
        Whether ``memory_limit`` decides, rather than what is free.
    held : int
        Bytes of a plan that is there already, which are part of what was given, and are taken off.
    """

    kind: str
    bytes: int | None
    given: bool
    held: int = 0

    def allows(self, needed: int) -> bool:
        return self.bytes is None or needed <= self.bytes

    def __str__(self) -> str:
        if not self.given:
            return f"{self.bytes:,} bytes are free"
        beside = f" beside the {self.held:,} of the plan" if self.held else ""
        return f"memory_limit allows {counted(self.bytes or 0, 'byte')}{beside}"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a call will hold in memory, and how its work is cut.

    Attributes
    ----------
    where : str
        What does the work: "cpu" or "cuda:N".
    host : Bytes
        In the host's memory.
    device : Bytes or None
        In the device's; None on the CPU path.
    cut : Cut
        Of the blocks of whatever does the work. Where ``cut.pool_rows`` is set, a class is larger than the device.
    host_cut : Cut
        Of the host's blocks.
    """

    where: str
    host: Bytes
    device: Bytes | None
    cut: Cut
    host_cut: Cut

    @property
    def total(self) -> int:
        """The most bytes at any one time, in the memory of what does the work."""
        return (self.device or self.host).total

    def fit(self, backend: Backend) -> Backend:
        """The backend with its work cut; where a class is larger than the device, one whose rows stay on the host."""
        backend.cut = self.cut
        if self.cut.pool_rows is None:
            return backend
        hosted = HostedBackend(backend)
        hosted.cut = self.host_cut
        return hosted

    def as_dict(self) -> dict[str, int]:
        """For a report: by purpose, in the memory of what does the work; ``host`` is the total of the other."""
        there = self.device or self.host
        found = {name: getattr(there, name) for name in ("plan", "pool", "blocks", "total")}
        return {"output": self.host.output, **found, **({"host": self.host.total} if self.device else {})}

    def halved(self) -> Estimate:
        """The same with blocks of half the size, and nothing kept that can be done without."""

        def half(cut: Cut) -> Cut:
            rows = None if cut.pool_rows is None else max(_LEAST_ROWS, cut.pool_rows // 2)
            workspace = None if cut.workspace is None else cut.workspace // 2
            return Cut(cut.scale / 2, 0, rows, workspace)

        return dataclasses.replace(self, cut=half(self.cut), host_cut=half(self.host_cut))


def limits_of(asked: MemoryLimit | None, backend: Backend | None, held: int = 0) -> dict[str, Limit]:
    """What a call may allocate on the host and on its device.

    Parameters
    ----------
    asked : int, float, str, dict or None
        As the sampler's parameter.
    backend : Backend
        What does the work.
    held : int, default=0
        Bytes of a plan that is there already, where the work is done: part of a limit in bytes, and no longer free.
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


def arrange(
    shape: Shape, where: str, lies_on: str, limits: dict[str, Limit], *, output: bool = True, faiss: bool | None = None
) -> Estimate:
    """The least cut under which the work keeps within its limits.

    Parameters
    ----------
    shape : Shape
    where : str
        What does the work.
    lies_on : str
        Where X lies, and the result will.
    limits : dict of str to Limit
    output : bool, default=True
        Whether the result is made in one piece.
    faiss : bool, optional
        Whether FAISS finds the candidates on the device; default: where it is installed.

    Raises
    ------
    MemoryLimitError
        If no cut is small enough: it says how many bytes are needed at least, or how many rows would fit.
    """
    on_cpu = output and lies_on == "cpu"

    def measured(some: Shape, cut: Cut) -> Bytes:
        return on_host(some, cut, on_cpu)

    if where == "cpu":
        cut, host = _first(limits["cpu"], _host_cuts(), measured, shape, on_cpu)
        return Estimate(where, host, None, cut, cut)
    there = output and lies_on != "cpu"
    faiss = detect.look().has_faiss if faiss is None else faiss

    def measured_there(some: Shape, cut: Cut) -> Bytes:
        return (on_device if cut.pool_rows is None else through_device)(some, cut, there, faiss)

    cut, device = _first(limits["cuda"], _device_cuts(shape), measured_there, shape, there)
    beside = measured if cut.pool_rows is not None else lambda some, cut: beside_a_device(some, cut, on_cpu)
    host_cut, host = _first(limits["cpu"], _host_cuts(), beside, shape, on_cpu)
    return Estimate(where, host, device, cut, host_cut)


def arrange_rows(
    shape: Shape, where: str, lies_on: str, limits: dict[str, Limit], plan: int = 0, *, output: bool = True
) -> Cut:
    """The least cut under which rows of a plan that is there already are made within the limits.

    Parameters
    ----------
    shape : Shape
        Of the result.
    where : str
        What makes the rows.
    lies_on : str
        Where the result will lie.
    limits : dict of str to Limit
    plan : int, default=0
        Bytes of the plan, where the limits do not count them already.
    output : bool, default=True
        Whether the rows are made now, in one piece.

    Raises
    ------
    MemoryLimitError
        If no cut is small enough.
    """
    cuts = [Cut(scale, 0) for scale in _SCALES]
    if where == "cpu":
        return _first(limits["cpu"], cuts, lambda some, cut: rows_on_host(some, cut, plan, output), shape, output)[0]
    there = output and lies_on != "cpu"
    cut, _ = _first(limits["cuda"], cuts, lambda some, cut: rows_on_device(some, cut, plan, there), shape, there)
    if output and not there:
        _first(limits["cpu"], cuts, lambda some, cut: beside_a_device(some, cut, True), shape, True)
    return cut


def _host_cuts() -> Iterator[Cut]:
    yield Cut(1.0, 2)
    yield Cut(1.0, 1)
    yield from (Cut(scale, 0) for scale in _SCALES)


def _device_cuts(shape: Shape) -> Iterator[Cut]:
    """From the largest to the least: all rows of a pool on the device, then blocks of them."""
    for cut in (Cut(1.0, 2), *(Cut(scale, 0) for scale in _SCALES)):
        yield _with_workspace(shape, cut)
    largest = shape.n_rows if shape.all_k else max((rows for rows, _ in shape.classes), default=1)
    least = min(largest, max(_LEAST_ROWS, 2 * (max(shape.k, shape.all_k) + 10)))
    for scales in (_SCALES[:5:2], _SCALES):  # blocks of very few queries only where blocks of few rows do not suffice
        size = largest
        while size > least:
            size = max(least, size // 2)
            for scale in scales:
                yield _with_workspace(shape, Cut(scale, 0, size))


def _with_workspace(shape: Shape, cut: Cut) -> Cut:
    """Also, what FAISS may keep: enough for a tile of its usual size, or for so many queries as the cut leaves it."""
    searches = [(rows, shape.k) for rows, _ in shape.classes]
    if shape.all_k:
        searches.append((shape.n_rows, shape.all_k))
    queries = max(16, int(1024 * cut.scale))
    sizes = [
        faiss_workspace(queries, min(rows, cut.pool_rows or rows), shape.n_features, max(31, k + 8) + 1)
        for rows, k in searches
    ]
    return dataclasses.replace(cut, workspace=min(MOST_WORKSPACE, max(sizes, default=0)))


def _first(
    limit: Limit, cuts: Iterable[Cut], measured: Callable[[Shape, Cut], Bytes], shape: Shape, output: bool
) -> tuple[Cut, Bytes]:
    """The first cut that the limit allows, and what it needs."""
    least: tuple[Bytes, Cut] | None = None
    for cut in cuts:
        found = measured(shape, cut)
        if limit.allows(found.most):
            return cut, found
        least = (found, cut) if least is None or found.most <= least[0].most else least
    assert least is not None
    needed, cut = least
    raise _too_large(limit, needed, shape, _fitting(limit, lambda some: measured(some, cut), shape) if output else None)


def _fitting(limit: Limit, measured: Callable[[Shape], Bytes], shape: Shape) -> int:
    """How many synthetic rows would fit, each class having its part of them."""
    low, high = 0, shape.n_new
    while low < high - 1:  # ``high`` are known to be too many
        middle = (low + high) // 2
        classes = tuple((rows, new * middle // shape.n_new) for rows, new in shape.classes)
        fits = limit.allows(measured(dataclasses.replace(shape, classes=classes)).most)
        low, high = (middle, high) if fits else (low, middle)
    return low


def _too_large(limit: Limit, least: Bytes, shape: Shape, fit: int | None) -> MemoryLimitError:
    """What is needed at least, what takes how much of it, largest first, and what can be done.

    ``fit`` is how many synthetic rows would fit, or None where none are made.
    """
    where = "on the host" if limit.kind == "cpu" else "on the device"
    parts = {"the result": least.output, "the plan": least.plan, "copies of rows": least.pool, "blocks": least.blocks}
    parts |= {"libraries": least.workspace, "neighbours that are hard to tell apart": least.most - least.total}
    told = ", ".join(f"{what} {size:,}" for what, size in sorted(parts.items(), key=lambda part: -part[1]) if size)
    needed = f"at least {least.most:,} bytes, cut as small as it can be ({told})"
    hint = f"memory_limit={least.most + limit.held} is the least that works." if limit.given else _MACHINE
    if fit is not None:
        fewer = f"ask for fewer rows ({counted(fit, 'synthetic row')} would fit), or " if fit else ""
        hint += f" Or {fewer}{_BATCHES}."
    rows, d = shape.n_rows, shape.n_features
    if fit is None or limit.allows(shape.output):
        return MemoryLimitError(
            f"The work on {counted(rows, 'row')} x {counted(d, 'column')} needs {needed}; {limit} {where}.", hint
        )
    return MemoryLimitError(
        f"The result would have {counted(rows + shape.n_new, 'row')} x {counted(d, 'column')}, {shape.output:,} bytes; "
        f"{limit} {where}. To make it takes {needed}.",
        hint,
    )
