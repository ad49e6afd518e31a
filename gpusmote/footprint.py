"""What a call holds in memory, stage by stage, as formulas of its sizes and of how its work is cut.

Each line stands for the arrays that the code of its stage holds at its highest point. Tests hold the sums against
measured peaks: of the host's allocations, and of the arrays on the stand-in for a device.
"""

from __future__ import annotations

import dataclasses

from gpusmote._threads import n_threads
from gpusmote.backends.base import Cut
from gpusmote.neighbours.faiss_gpu import MOST_WORKSPACE, faiss_workspace

__all__ = ["Bytes", "Shape", "beside_a_device", "on_device", "on_host", "through_device"]

_BUFFER = 8 << 20

_AT_ONCE = 1 << 21
_INDEX = 8  # bytes of a position, a float64, a row's code


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a call.

    Attributes
    ----------
    n_rows, n_features : int
    work : int
        Bytes of one value in the work dtype.
    item : float
        Bytes of one value in the caller's container.
    classes : tuple of (int, int)
        Rows of each class that gets rows, and how many it gets.
    k : int
        Neighbours of a seed.
    all_k : int
        Neighbours that are sought among all rows; 0 is none.
    pool_of_all : bool
        Whether seeds' neighbours are sought among all rows, too.
    shared : bool
        Whether all rows are read without a copy.
    joined : bool
        Whether the result is put together from parts, beside which the new rows stand once more.
    drawn : bool
        Whether all draws are made beforehand.
    encodes : bool
        Whether y is read, and not handed over as a Target of gpusmote's own.
    """

    n_rows: int
    n_features: int
    work: int
    item: float
    classes: tuple[tuple[int, int], ...]
    k: int
    all_k: int = 0
    pool_of_all: bool = False
    shared: bool = True
    joined: bool = False
    drawn: bool = False
    encodes: bool = True

    @property
    def n_new(self) -> int:
        return sum(new for _, new in self.classes)

    @property
    def output(self) -> int:
        """Bytes of X_resampled."""
        return int((self.n_rows + self.n_new) * self.n_features * self.item)

    @property
    def built(self) -> int:
        """Bytes while the result's container is built."""
        return self.output + (int(self.n_new * self.n_features * self.item) if self.joined else 0)

    @property
    def codes(self) -> int:
        """Bytes of the classes' codes, one a row, which are held throughout."""
        return _INDEX * self.n_rows if self.encodes else 0

    @property
    def reading(self) -> int:
        """Bytes at the highest point of encoding y: it is sorted."""
        return 41 * self.n_rows if self.encodes else 0

    def plan(self, rows: int, new: int) -> int:
        """Bytes of one class in the plan: its rows and their positions, seeds, neighbours."""
        pairs = rows * self.k * (3 if self.pool_of_all else 1)  # with the part of the segment, two shares
        values = min(self.n_rows, rows * (1 + self.k)) if self.pool_of_all else rows
        held = values * (self.n_features * self.work + _INDEX) + _INDEX * (rows + pairs)
        return held + (2 * _INDEX * new if self.drawn else 0)

    def picking(self, rows: int, new: int) -> int:
        """Bytes while a class's part of the plan is put together from rows of all classes."""
        return self.plan(rows, new) + 4 * _INDEX * rows * (1 + self.k) if self.pool_of_all else 0


@dataclasses.dataclass(frozen=True)
class Bytes:
    """Bytes in one kind of memory, by purpose.

    Attributes
    ----------
    output : int
        X_resampled.
    plan : int
        Rows, seeds and neighbours that the synthetic rows are made from.
    pool : int
        What a search keeps of its rows besides the plan: copies for products, norms, a tree.
    blocks : int
        Blocks of queries with their candidates, tiles of distances, rows in the making.
    workspace : int
        What libraries take for themselves on a device: FAISS, and CuPy's sorts.
    total : int
        The most at any one time. Not all of the above is there at once.
    most : int
        The same where the rows are as awkward as can be: all of them copies, or neighbours that float32 cannot tell
        apart. A limit is held against this.
    """

    output: int = 0
    plan: int = 0
    pool: int = 0
    blocks: int = 0
    workspace: int = 0
    total: int = 0
    most: int = 0


def on_host(shape: Shape, cut: Cut, output: bool) -> Bytes:
    """The CPU path.

    Parameters
    ----------
    shape : Shape
    cut : Cut
    output : bool
        Whether X_resampled and y_resampled are made.
    """
    held, plan, total, most, pool, blocks = shape.codes, 0, shape.reading, 0, 0, 0
    everyone = _Search(shape, cut, shape.n_rows, shape.all_k, not shape.shared) if shape.all_k else None
    for rows, new in shape.classes:
        own = _Search(shape, cut, rows, shape.k, True)
        held_by_all = everyone.kept() if everyone else 0
        pool = max(pool, own.copies() + held_by_all)
        for search in (own, *((everyone,) if everyone else ())):
            queries = rows
            blocks = max(blocks, search.blocks(queries))
            before = held + plan + _INDEX * rows + (held_by_all if search is own else 0)
            total = max(total, before + search.peak(queries))
            most = max(most, before + search.worst(queries))
        total = max(total, held + plan + held_by_all + shape.picking(rows, new))
        plan += shape.plan(rows, new)
    if output:
        making = _making(shape, cut)
        blocks = max(blocks, making)
        out, labels = shape.built, _INDEX * (shape.n_rows + shape.n_new)
        codes = _INDEX * shape.n_new
        total = max(total, held + plan + out + max(making, 3 * labels + codes))
        return Bytes(shape.output, plan, pool, blocks, 0, total, max(total, most))
    return Bytes(0, plan, pool, blocks, 0, total, max(total, most))


def _making(shape: Shape, cut: Cut) -> int:
    """Rows in the making: the draws of a block, and in each thread two ends of each segment."""
    d, threads = shape.n_features, n_threads()
    new = max((new for _, new in shape.classes), default=0)
    step = min(new, cut.size(max(1, (32 << 20) // (d * shape.work + 64))))
    ends = min(step * d, threads * max(d, cut.size(131_072))) * (20 if shape.work == 4 else 16)
    scratch = 0 if shape.item == shape.work else min(new, max(1, cut.size(32 << 20) // (8 * d))) * d * 8
    return max(72 * step, 24 * step + ends) + scratch


@dataclasses.dataclass(frozen=True)
class _Search:
    """The search among one pool's rows on the host; one object for the formulas that share its sizes."""

    shape: Shape
    cut: Cut
    rows: int
    k: int
    copied: bool

    @property
    def count(self) -> int:
        return max(1, min(self.k + 3, self.rows - 1))

    def source(self) -> str:
        """As ``choose`` has it for rows without structure."""
        n, d, count = self.rows, self.shape.n_features, self.count
        if n - 1 <= self.k + 3:
            return "every"
        if self.cut.copies == 0:
            return "product"
        if n >= 2_000 and d <= 16 and n >= 800 * 1.8**d:
            return "tree"
        return "pairs" if n >= 4_096 and n * count <= _AT_ONCE else "tiles"

    def values(self) -> int:
        return self.rows * self.shape.n_features * self.shape.work if self.copied else 0

    def copies(self) -> int:
        """Norms, and what the source keeps."""
        n, d, source = self.rows, self.shape.n_features, self.source()
        if source == "tree":
            return n * (_INDEX + _INDEX + (8 * d if self.shape.work == 4 else 0))
        return _INDEX * n + (n * (2 * _INDEX + 4 * (d + 2)) if source in ("tiles", "pairs") else 0)

    def kept(self) -> int:
        return self.values() + self.copies()

    def blocks(self, queries: int) -> int:
        """Candidates of a block of queries, and what is computed to find or to order them."""
        c, d = self.count, self.shape.n_features
        block = min(queries, max(1, self.cut.size(_AT_ONCE) // c))
        entries = _INDEX * block * c
        rerank = min(block * c * d, n_threads() * max(c * d, self.cut.size(262_144))) * (8 + self.shape.work)
        find = {"tree": self._tree, "tiles": self._tiles, "pairs": self._pairs, "product": self._product}
        source = self.source()
        finding = find[source](block) if source != "every" else 0
        return max(entries + finding, 2 * entries + rerank, 3 * entries + 2 * _INDEX * block * self.k)

    def peak(self, queries: int) -> int:
        result = queries * (_INDEX * self.k + _INDEX + 1)
        grouping = 32 * self.rows if self.cut.copies == 2 else 0
        sample = max(2 * _INDEX * self.shape.n_features * min(self.rows, 6_000), self._looking())
        return self.values() + max(grouping, self.copies() + max(sample, result + self.blocks(queries)))

    def worst(self, queries: int) -> int:
        """With copies to group or a float64 pass, with ties at every edge, and with a tree's nodes."""
        n, d, w = self.rows, self.shape.n_features, self.shape.work
        wide = min(4 * self.count, n)
        entries = _INDEX * min(queries, max(1, self.cut.size(_AT_ONCE) // wide)) * wide
        more = self._last() + self._product(queries) if self.cut.copies < 2 else self._tiles(queries, 8) + self._last()
        if self.cut.copies >= 1:
            more += n * (2 * _INDEX + 8 * d + 12)  # a tree instead of tiles
        if self.cut.copies == 2:
            more += n * (2 * _INDEX + 8 * (d + 2)) + n * (d * w + 96) + 2 * _INDEX * n * self.k
        return self.peak(queries) + 4 * entries + more

    def _looking(self) -> int:
        """A sample of rows beside a sample of that, from which ``choose`` tells whether a tree pays."""
        n, d = self.rows, self.shape.n_features
        if self.cut.copies == 0 or n < 2_000 or d > 16:
            return 0
        sample = -(-n // max(1, n // 1_024))
        return int(2.2 * _INDEX * sample * -(-sample // max(1, sample // 128)))

    def _tree(self, block: int) -> int:
        return 2 * _INDEX * block * (self.count + 1) + 2 * block * (self.count + 1)

    def _tiles(self, block: int, item: int = 4) -> int:
        side = min(512, max(16, (1 << 18) // self.count))
        threads = min(n_threads(), -(-block // side))
        width = min(self.rows, 2_048)
        return int(threads * min(block, side) * width * item * 1.65)

    def _pairs(self, block: int) -> int:
        threads = min(n_threads(), -(-self.rows // 1_024))
        return int(self.rows * self.count * 32 + threads * 1_024 * 1_024 * 4 * 1.3)

    def _product(self, block: int) -> int:
        rows, tile = self.cut.sides(256, 2_048)
        tile = min(self.rows, max(tile, self.count + 1))
        threads = min(n_threads(), -(-block // rows))
        return threads * (min(rows, block) * tile * 24 + (tile + rows) * self.shape.n_features * 16)

    def _last(self) -> int:
        rows, tile = self.cut.sides(64, 4_096)
        tile = min(tile, self.rows)
        return n_threads() * (rows * tile * 100 + (tile + rows) * self.shape.n_features * 16)


def beside_a_device(shape: Shape, cut: Cut, output: bool) -> Bytes:
    """The host's part where a device does the work: codes, the result, and two pinned buffers."""
    held = shape.codes + max((_INDEX * rows for rows, _ in shape.classes), default=0)
    pinned = 2 * cut.size(_BUFFER)
    labels = _INDEX * (shape.n_rows + shape.n_new)
    out = shape.built + 4 * labels if output else 0
    total = max(shape.reading, held + out + pinned)
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
    plan, total, most, pool, blocks, workspace = 0, 0, 0, 0, 0, 0
    everyone = _DeviceSearch(shape, cut, shape.n_rows, shape.all_k, faiss) if shape.all_k else None
    for rows, new in shape.classes:
        own = _DeviceSearch(shape, cut, rows, shape.k, faiss)
        held_by_all = everyone.kept() + 2 * _INDEX * shape.n_rows if everyone else 0
        pool = max(pool, own.copies() + held_by_all)
        for search in (own, *((everyone,) if everyone else ())):
            blocks = max(blocks, search.blocks(rows))
            workspace = max(workspace, search.workspace(rows))
            before = plan + _INDEX * rows + (held_by_all if search is own else 0)
            total = max(total, before + search.peak(rows))
            most = max(most, before + search.worst(rows))
        total = max(total, plan + held_by_all + shape.picking(rows, new))
        plan += shape.plan(rows, new)
    making = _making_on_device(shape, cut)
    blocks = max(blocks, making)
    total = max(total, plan + making + (shape.output if output else 0))
    worst = max(total, most) + workspace
    return Bytes(shape.output * output, plan, pool, blocks, workspace, total + workspace, worst)


def through_device(shape: Shape, cut: Cut, output: bool, faiss: bool) -> Bytes:
    """A device that holds ``cut.pool_rows`` rows of a pool, and as many queries, at a time."""
    d, most, total, workspace, pool, blocks = shape.n_features, 0, 0, 0, 0, 0
    searches = [(rows, rows, shape.k) for rows, _ in shape.classes]
    if shape.all_k:
        searches += [(shape.n_rows, rows, shape.all_k) for rows, _ in shape.classes]
    for rows, queries, k in searches:
        size = min(rows, cut.pool_rows or rows)
        some = _DeviceSearch(shape, cut, size, k, faiss)
        asked = min(size, queries)
        window = (size + asked) * (d * shape.work + _INDEX) + asked * (4 * _INDEX + 2 * _INDEX * k)
        pool = max(pool, window + some.copies() - _INDEX * size)
        blocks = max(blocks, some.blocks(asked))
        workspace = max(workspace, some.workspace(asked))
        total = max(total, window + some.copies() - _INDEX * size + some.blocks(asked))
        most = max(most, total + some.awkward())
    result = shape.output if output else 0
    making = 2 * cut.size(_BUFFER) if output else 0
    total, most = max(total, result + making), max(most, result + making)
    return Bytes(result, 0, pool, blocks, workspace, total + workspace, most + workspace)


def _making_on_device(shape: Shape, cut: Cut) -> int:
    """Two blocks of rows that take turns, and the draws of one."""
    row = shape.n_features * shape.work
    new = max((new for _, new in shape.classes), default=0)
    step = min(new, max(1, cut.size(_BUFFER) // row))
    return min(2, -(-new // step)) * step * row + 56 * step if step else 0


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

    def copies(self) -> int:
        """Norms, and reduced rows in float32."""
        listed = self.rows - 1 <= self.count
        return _INDEX * self.rows + (0 if listed else self.rows * (4 * self.shape.n_features + 4 * (not self.faiss)))

    def kept(self) -> int:
        return self.values() + self.copies()

    def workspace(self, queries: int) -> int:
        """FAISS's, and what CuPy's sorts of many short lists take: keys, values and segments, twice."""
        c, d = self.count + 1, self.shape.n_features
        sorts = 40 * c * min(queries, max(1, self.cut.size(_AT_ONCE) // c))
        if not self.faiss:
            return sorts
        own = faiss_workspace(min(queries, self.block(d + 2 * c)), self.rows, d, c)
        return sorts + min(own, MOST_WORKSPACE if self.cut.workspace is None else self.cut.workspace)

    def blocks(self, queries: int) -> int:
        c, d = self.count, self.shape.n_features
        block = min(queries, max(1, self.cut.size(_AT_ONCE) // c))
        entries = _INDEX * block * c
        if self.faiss:
            some = min(block, self.block(d + 2 * (c + 1)))
            finding = some * max(28 * (c + 1), 12 * (c + 1) + 12 * d)
        else:
            rows, tile = self.cut.sides(512, 32_768)
            rows, tile = min(rows, block), min(tile, self.rows)
            promising = min(tile, 32 * (c + 1))
            first = tile * 4.4 + 12 * promising
            finding = int(rows * (first + 28 * promising if self.rows > tile else max(first, 28 * promising)))
        return int(max(entries + finding, 3 * entries + 2 * _INDEX * block * self.k))

    def peak(self, queries: int) -> int:
        d = self.shape.n_features
        reduce = min(self.rows, self.block(d)) * d * 12
        result = queries * (_INDEX * self.k + _INDEX + 1)
        grouping = 41 * self.rows if self.cut.copies == 2 else 0
        sample = 2 * _INDEX * d * min(self.rows, 6_000)
        working = max(_INDEX * self.rows + sample, self.copies() + max(reduce, result + self.blocks(queries)))
        return self.values() + max(grouping, working)

    def worst(self, queries: int) -> int:
        n, d, w = self.rows, self.shape.n_features, self.shape.work
        grouped = n * (d * w + 96) + 2 * _INDEX * n * self.k if self.cut.copies == 2 else 0
        return self.peak(queries) + grouped + self.awkward()

    def awkward(self) -> int:
        """Products in float64 and the last pass."""
        d = self.shape.n_features
        (rows, tile), (few, width) = self.cut.sides(1_024, 8_192), self.cut.sides(64, 4_096)
        tile, width = min(self.rows, max(tile, 4 * self.count + 1)), min(self.rows, width)
        product = rows * tile * 40 + (rows + tile) * d * 16
        wide = min(4 * self.count, self.rows)
        entries = _INDEX * min(self.rows, max(1, self.cut.size(_AT_ONCE) // wide)) * wide
        return max(product, few * width * 140 + (few + width) * d * 16) + 6 * entries
