"""What a device holds, and the host beside it."""

from __future__ import annotations

import dataclasses

from gpusmote.backends.base import Cut
from gpusmote.footprint.host import result
from gpusmote.footprint.lists import lists_on_device, sample
from gpusmote.footprint.shape import INDEX, Bytes, Shape
from gpusmote.neighbours.candidates import AT_ONCE
from gpusmote.neighbours.faiss_gpu import MOST_WORKSPACE, faiss_workspace

__all__ = ["beside_a_device", "on_device", "rows_on_device", "through_device"]

_BUFFER = 8 << 20


def beside_a_device(shape: Shape, cut: Cut, output: bool) -> Bytes:
    """The host's part where a device does the work: codes, the result, and two pinned buffers."""
    held = shape.held + max((INDEX * rows for rows, _ in shape.classes), default=0)
    pinned = 2 * cut.size(_BUFFER)
    out = result(shape, cut, pinned) if output else pinned
    total = max(shape.reading, held + out)
    return Bytes(shape.output * output, 0, 0, pinned, 0, total, total)


def on_device(shape: Shape, cut: Cut, output: bool, faiss: bool) -> Bytes:
    """A device on which all rows of a pool lie.

    Parameters
    ----------
    shape : Shape
    cut : Cut
    output : bool
        Whether X_resampled is made there.
    faiss : bool
        Whether FAISS finds the candidates.
    """
    plan, total, most, pool, blocks, workspace, more = 0, 0, 0, 0, 0, 0, 0
    everyone = _DeviceSearch(shape, cut, shape.n_rows, shape.all_k, faiss) if shape.all_k else None
    for rows, new in shape.classes:
        own = _DeviceSearch(shape, cut, rows, shape.k, faiss)
        held_by_all = everyone.kept(rows) + 2 * INDEX * shape.n_rows if everyone else 0
        pool = max(pool, (0 if shape.pool_of_all else own.copies(rows)) + held_by_all)
        for search in (own, *((everyone,) if everyone else ())):
            blocks = max(blocks, search.blocks(rows))
            workspace = max(workspace, search.workspace(rows))
            before = plan + INDEX * rows + (held_by_all if search is own else 0)
            most = max(most, before + search.worst(rows))
            if search is everyone or not shape.pool_of_all:  # else the class is searched by itself if no row is a seed
                total = max(total, before + search.peak(rows))
        total = max(total, plan + held_by_all + shape.picking(rows, new))
        plan += shape.plan(rows, new)
        more += shape.plan(rows, new, awkward=True) - shape.plan(rows, new)
    made = rows_on_device(shape, cut, plan, output)
    total = max(total, made.total) + workspace
    return Bytes(
        made.output, plan, pool, max(blocks, made.blocks), workspace, total, max(total, most + workspace) + more
    )


def rows_on_device(shape: Shape, cut: Cut, plan: int, output: bool) -> Bytes:
    """The rows of a plan of so many bytes, made in two blocks that take turns; all of them there, or for the host."""
    row = shape.n_features * shape.work
    step = min(shape.most_new, max(1, cut.size(_BUFFER) // row))
    making = min(2, -(-shape.most_new // step)) * step * row + 56 * step if step else 0
    out = shape.output * output
    return Bytes(out, plan, 0, making, 0, plan + making + out, plan + making + out)


def through_device(shape: Shape, cut: Cut, output: bool, faiss: bool) -> Bytes:
    """A device that holds ``cut.pool_rows`` rows of a pool, and as many queries, at a time."""
    d, most, total, workspace, pool, blocks = shape.n_features, 0, 0, 0, 0, 0
    searches = [(rows, rows, shape.k) for rows, _ in shape.classes]
    if shape.all_k:
        searches += [(shape.n_rows, rows, shape.all_k) for rows, _ in shape.classes]
    for rows, queries, k in searches:
        size = min(rows, cut.pool_rows or rows)
        part = size if size == rows else size // 2  # is searched while the other half goes up
        some = _DeviceSearch(shape, cut, part, k, faiss)
        asked = min(size, queries)
        window = (size + asked) * (d * shape.work + INDEX) + asked * (4 * INDEX + 2 * INDEX * k)
        # A part's lists with the nearest so far, put together and in order.
        merging = 5 * INDEX * min(asked, max(1, cut.size(AT_ONCE) // some.count)) * (some.count + k)
        working = max(some.blocks(asked), merging)
        pool = max(pool, window + some.exact() - INDEX * part)
        blocks = max(blocks, working)
        workspace = max(workspace, some.workspace(asked))
        total = max(total, window + some.exact() - INDEX * part + working)
        most = max(most, total + some.awkward())
    out = shape.output * output
    making = 2 * cut.size(_BUFFER) * output
    total, most = max(total, out + making), max(most, out + making)
    return Bytes(out, 0, pool, blocks, workspace, total + workspace, most + workspace)


@dataclasses.dataclass(frozen=True)
class _DeviceSearch:
    """The search among rows on a device."""

    shape: Shape
    cut: Cut
    rows: int
    k: int
    faiss: bool

    @property
    def count(self) -> int:
        return min(max(31, self.k + 8), max(1, self.rows - 1))

    def block(self, width: int) -> int:
        return max(1, self.cut.size(1 << 23) // width)

    def values(self) -> int:
        return self.rows * self.shape.n_features * self.shape.work

    def exact(self) -> int:
        """Norms, and reduced rows in float32."""
        listed = self.rows - 1 <= self.count
        return INDEX * self.rows + (0 if listed else self.rows * (4 * self.shape.n_features + 4 * (not self.faiss)))

    def copies(self, queries: int) -> int:
        """The same, and a second pool's norms where inverted lists are made."""
        return self.exact() + self.lists(queries)[0]

    def kept(self, queries: int) -> int:
        return self.values() + self.copies(queries)

    def lists(self, queries: int) -> tuple[int, int, int]:
        """See :func:`~gpusmote.footprint.lists.lists_on_device`."""
        if not (self.shape.approximate and self.faiss):
            return 0, 0, 0
        return lists_on_device(self.rows, self.shape.n_features, queries, self.cut)

    def workspace(self, queries: int) -> int:
        """FAISS's, and CuPy's for sorts: keys, values and segments of many short lists, twice; or a key of each row."""
        c, d = self.count + 1, self.shape.n_features
        sorts = max(40 * c * min(queries, max(1, self.cut.size(AT_ONCE) // c)), 3 * INDEX * self.rows)
        sorts += self.lists(queries)[2]
        if not self.faiss:
            return sorts
        own = faiss_workspace(min(queries, self.block(d + 2 * c)), self.rows, d, c)
        return sorts + min(own, MOST_WORKSPACE if self.cut.workspace is None else self.cut.workspace)

    def blocks(self, queries: int) -> int:
        """Of the exact search, or of one among lists and of the exact one of its sample."""
        if not self.lists(queries)[0]:
            return self._exactly(queries)
        c = max(32, self.k + 9)
        return max(self._exactly(sample()), 3 * INDEX * c * min(queries, max(1, AT_ONCE // c)))

    def _exactly(self, queries: int) -> int:
        c, d = self.count, self.shape.n_features
        block = min(queries, max(1, self.cut.size(AT_ONCE) // c))
        entries = INDEX * block * c
        if self.faiss:
            some = min(block, self.block(d + 2 * (c + 1)))
            finding = some * max(28 * (c + 1), 12 * (c + 1) + 12 * d)
        else:
            rows, tile = self.cut.sides(512, 32_768)
            rows, tile = min(rows, block), min(tile, self.rows)
            promising = min(tile, 32 * (c + 1))
            finding = int(rows * (tile * 4.4 + 20 * promising + 28 * (c + 1)))
        return int(max(entries + finding, 3 * entries + 2 * INDEX * block * self.k))

    def peak(self, queries: int) -> int:
        d = self.shape.n_features
        reduce = min(self.rows, self.block(d)) * d * 12
        result = self._answer(queries)
        grouping = 41 * self.rows if self.cut.copies == 2 else 0
        sample = 2 * INDEX * d * min(self.rows, 6_000)
        kept, made, _ = self.lists(queries)
        if kept:  # rows and distances of all queries, beside those of the sample
            result += 2 * INDEX * queries * (self.k + 1)
        working = max(
            INDEX * self.rows + max(sample, made), self.exact() + kept + max(reduce, result + self.blocks(queries))
        )
        return self.values() + max(grouping, working)

    def worst(self, queries: int) -> int:
        n, d, w = self.rows, self.shape.n_features, self.shape.work
        grouped = n * (d * w + 96) + 2 * INDEX * n * self.k if self.cut.copies == 2 else 0
        return self.peak(queries) + grouped + self.awkward()

    def _answer(self, queries: int) -> int:
        return queries * (INDEX * self.k + INDEX + 1)

    def awkward(self) -> int:
        """Products in float64 and the last pass."""
        d = self.shape.n_features
        (rows, tile), (few, width) = self.cut.sides(1_024, 8_192), self.cut.sides(64, 4_096)
        tile, width = min(self.rows, max(tile, 4 * self.count + 1)), min(self.rows, width)
        product = rows * tile * 40 + (rows + tile) * d * 16
        wide = min(4 * self.count, self.rows)
        entries = INDEX * min(self.rows, max(1, self.cut.size(AT_ONCE) // wide)) * wide
        return max(product, few * width * 140 + (few + width) * d * 16) + 6 * entries
