"""What the CPU path holds: searches one after another, then the rows in the making."""

from __future__ import annotations

import dataclasses
import math

from gpusmote._threads import n_threads
from gpusmote.backends.base import Cut
from gpusmote.footprint.lists import found_in_lists, lists_on_host, sample
from gpusmote.footprint.shape import INDEX, Bytes, Shape
from gpusmote.footprint.sources import SOURCES, Asked, Held
from gpusmote.neighbours.candidates import AT_ONCE
from gpusmote.neighbours.choose import Search, choose, second

__all__ = ["on_host", "result", "rows_on_host"]

_BLOCK_VALUES = 1 << 18  # float64 values of a block of rows that are reduced
_SAMPLE = 4_096
_FRAME, _BLOCK = (
    128 << 20,
    32 << 20,
)  # bytes of rows that are made before they become the caller's: of frames, of others


def on_host(shape: Shape, cut: Cut, output: bool) -> Bytes:
    """The CPU path.

    Parameters
    ----------
    shape : Shape
    cut : Cut
    output : bool
        Whether X_resampled and y_resampled are made.
    """
    plan = pool = blocks = before = more = 0
    total = most = shape.reading
    everyone = _Search(shape, cut, shape.n_rows, shape.all_k, not shape.in_place, False) if shape.all_k else None
    by_all = 0
    for rows, new in shape.classes:
        held = shape.held + plan + INDEX * rows
        own = _Search(shape, cut, rows, shape.k, True, everyone is None)
        if everyone:
            # The class before is let go of once the seeds of this one are known.
            total = max(total, held + before + INDEX * shape.n_rows + everyone.peak(rows))
            most = max(most, held + before + INDEX * shape.n_rows + everyone.worst(rows))
            blocks, by_all = max(blocks, everyone.finding(rows)), everyone.kept(rows) + INDEX * shape.n_rows
            # If no row is a seed, all are.
            alone = dataclasses.replace(own, everything=True)
            most = max(most, held + by_all + alone.worst(rows))
        if not shape.pool_of_all:
            total, most = max(total, held + by_all + own.peak(rows)), max(most, held + by_all + own.worst(rows))
            pool, blocks, before = max(pool, own.copies(rows)), max(blocks, own.finding(rows)), own.kept(rows)
        total = max(total, held + by_all + shape.picking(rows, new))
        plan += shape.plan(rows, new)
        more += shape.plan(rows, new, awkward=True) - shape.plan(rows, new)
    made = rows_on_host(shape, cut, plan, output)
    total = max(total, made.total)
    return Bytes(
        shape.output * output, plan, pool + by_all, max(blocks, made.blocks), 0, total, max(total, most) + more
    )


def rows_on_host(shape: Shape, cut: Cut, plan: int, output: bool) -> Bytes:
    """The rows of a plan of so many bytes, made block by block: all of them if they are the output, else later."""
    making = _making(shape, cut)
    if not output:
        return Bytes(0, plan, 0, 0, 0, shape.held + plan, shape.held + plan + making)
    total = shape.held + plan + result(shape, cut, making)
    return Bytes(shape.output, plan, 0, making, 0, total, total)


def result(shape: Shape, cut: Cut, making: int) -> int:
    """The most while X_resampled and y_resampled are put together from blocks of rows.

    Parameters
    ----------
    shape : Shape
    cut : Cut
    making : int
        Bytes beside each block while it is made.
    """
    d, whole = shape.n_features, shape.n_rows + shape.n_new
    unwrapped = int(whole * d * shape.unwrapped)
    item = shape.unwrapped or shape.item
    converted = 0
    labels = 3 * INDEX * whole + INDEX * shape.n_new
    row = d * shape.work
    if shape.joined:  # block by block in the work dtype, then in the caller's; then all of them below the originals
        block = min(shape.n_new, max(1, cut.size(_FRAME) // row))
        last = int(block * d * item)
        parts = shape.new - last + block * row + max(making, last)
        return max(parts, shape.output + (0 if shape.shares else shape.new), shape.output + labels)
    converted = 0
    if item != shape.work:  # a block in the work dtype, then rounded and kept within the caller's range
        block = min(shape.n_new, max(1, cut.size(_BLOCK) // row))
        converted, making = block * row, max(making, 2 * block * row)
    return max((unwrapped or shape.output) + converted + making, unwrapped + shape.output, shape.output + labels)


def _making(shape: Shape, cut: Cut) -> int:
    """Rows in the making: the draws of a block, and in each thread two ends of each segment."""
    d = shape.n_features
    step = min(shape.most_new, cut.size(max(1, _BLOCK // (d * shape.work + 64))))
    ends = min(step * d, n_threads() * max(d, cut.size(131_072))) * (20 if shape.work == 4 else 16)
    return max(72 * step, 24 * step + ends)


@dataclasses.dataclass(frozen=True)
class _Search:
    """The search among one pool's rows; one object for the formulas that share its sizes.

    Attributes
    ----------
    shape : Shape
    cut : Cut
    rows : int
        That are searched.
    k : int
    copied : bool
        Whether the rows are copied from X.
    everything : bool
        Whether each of them is a query.
    """

    shape: Shape
    cut: Cut
    rows: int
    k: int
    copied: bool
    everything: bool

    @property
    def count(self) -> int:
        return max(1, min(self.k + 3, self.rows - 1))

    @property
    def values(self) -> int:
        return self.rows * self.shape.n_features * self.shape.work if self.copied else 0

    def copies(self, queries: int) -> int:
        """Norms, and what the source keeps, or inverted lists and the source that they are measured by."""
        lists, _ = self._lists(queries)
        source = dataclasses.replace(self, everything=False) if lists else self
        return INDEX * self.rows + source._source(1, self.count).kept + lists

    def kept(self, queries: int) -> int:
        return self.values + self.copies(queries)

    def _lists(self, queries: int) -> tuple[int, int]:
        """See :func:`~gpusmote.footprint.lists.lists_on_host`."""
        if not self.shape.approximate:
            return 0, 0
        return lists_on_host(self.rows, self.shape.n_features, queries, self.cut)

    def finding(self, queries: int) -> int:
        """Candidates of a block of queries, and what is computed to find, to compare or to order them."""
        block = min(queries, max(1, self.cut.size(AT_ONCE) // self.count))
        return max(self._source(block, self.count).finding, self._ordering(block, self.count))

    def peak(self, queries: int) -> int:
        return self.values + max(self._prepared(), INDEX * self.rows + self._searched(queries))

    def worst(self, queries: int) -> int:
        """With ties wherever there can be, and as many copies as make it worth while to put them together.

        Where copies are put together, what is left of the rows is searched; where they are not, all are tied.
        """
        n, d, w, k = self.rows, self.shape.n_features, self.shape.work, self.k
        most = max(self.peak(queries), self.values + INDEX * n + self._again(queries))
        if self._may_prune(queries):
            most = max(most, self.values + INDEX * n + self._answer(queries) + self._balls().made)
        if self._may_prune_again(queries):
            kept = 2 * self._answer(queries) + max(source.kept for source in self._firsts(queries, 1))
            most = max(most, self.values + INDEX * n + kept + self._balls().made)
        if self.cut.copies == 2:
            groups = n * (d * w + 4 * INDEX) + 2 * INDEX * n * k
            expanding = 60 * min(queries * (k + 1) * (k + 1), self.cut.size(AT_ONCE))
            most = max(most + groups, self.peak(queries) + groups + expanding)
        return most

    def _chosen(self, queries: int, dimension: float = 0.0, share: float = 1.0) -> str:
        """The source of rows that spread evenly in all columns, none of whose balls can be left out; or of others."""
        d = self.shape.n_features
        search = Search(self.rows, d, self.rows if self.everything else queries, self.k, copies=self.cut.copies)
        return choose(search, lambda _: dimension or float(d), lambda _: share).source

    def _may_prune(self, queries: int) -> bool:
        """Whether balls may be made, if only for a trial."""
        return self._chosen(queries, math.inf, 0.0) == "pruned"

    def _may_prune_again(self, queries: int) -> bool:
        """Whether balls may be made for what the first source is not certain of."""
        search = Search(self.rows, self.shape.n_features, queries, self.k, copies=self.cut.copies)
        return second(search, lambda _: 0.0) == "pruned"

    def _balls(self) -> Held:
        return self._source(1, self.count, "pruned")

    def _firsts(self, queries: int, block: int) -> list[Held]:
        """The first source, with ties; a tree or pairs may be any of them."""
        names = ["product"] if self.cut.copies == 0 else ["tiles", "pairs", "tree"]
        if self._may_prune(queries):
            names.append("pruned")
        return [self._source(block, self.count, name, tied=True) for name in names]

    def _source(self, block: int, count: int, name: str = "", item: int = 4, tied: bool = False) -> Held:
        # Which source serves does not hang on how many queries there are, but whether they are all.
        return SOURCES[name or self._chosen(1)](self._asked(block, count, item, tied))

    def _asked(self, block: int, count: int, item: int = 4, tied: bool = False) -> Asked:
        return Asked(self.rows, self.shape.n_features, count, block, self.shape.work, item, tied, self.cut)

    def _prepared(self) -> int:
        """Before the first search: copies are looked for by hashes, a centre and norms are computed."""
        n, d = self.rows, self.shape.n_features
        grouping = 32 * n if self.cut.copies == 2 else 0
        sample = 8 * d * -(-n // max(1, n // _SAMPLE))
        norms = INDEX * n + 8 * min(n * d, n_threads() * self.cut.size(_BLOCK_VALUES))
        return max(grouping, sample, norms)

    def _looking(self) -> int:
        """A sample of rows beside a sample of that, from which ``choose`` tells whether a tree pays."""
        n, d = self.rows, self.shape.n_features
        if self.cut.copies == 0 or n < 2_000 or d > 16:
            return 0
        sample = -(-n // max(1, n // 1_024))
        return int(2.2 * INDEX * sample * -(-sample // max(1, sample // 128)))

    def _answer(self, queries: int) -> int:
        return queries * (INDEX * self.k + INDEX + 1)

    def _searched(self, queries: int) -> int:
        """Looking how the rows lie, making the source, and asking it, beside the answer."""
        source = self._source(1, self.count)
        searched = max(self._looking(), source.made, source.kept + self.finding(queries))
        return self._answer(queries) + (self._listed(queries) or searched)

    def _listed(self, queries: int) -> int:
        """Inverted lists, beside the exact source that the recall is measured by; 0 where that serves alone."""
        kept, made = self._lists(queries)
        if not kept:
            return 0
        exact = dataclasses.replace(self, everything=False)
        source = exact._source(1, self.count)
        found = found_in_lists(queries, self.k, self.shape.n_features, self.shape.work, self.cut)
        return max(made, kept + source.made, kept + source.kept + max(found, exact.finding(sample())))

    def _ordering(self, block: int, count: int) -> int:
        """Candidates and their distances; then their order, and the answer."""
        d, entries = self.shape.n_features, INDEX * block * count
        values = min(block * count * d, n_threads() * max(count * d, self.cut.compared(d)))
        return max(2 * entries + values * (8 + self.shape.work), 3 * entries + 2 * INDEX * block * self.k)

    def _again(self, queries: int) -> int:
        """Both passes with ties, then the last, beside what all sources keep."""
        copies, wide = self.cut.copies, min(4 * self.count, self.rows)
        block = min(queries, max(1, self.cut.size(AT_ONCE) // self.count))
        first = self._firsts(queries, block)
        again = min(queries, max(1, self.cut.size(AT_ONCE) // wide))
        others = [self._source(again, wide, "tiles" if copies == 2 else "product", 8, tied=True)]
        if self._may_prune_again(queries):  # one search may be left little in doubt, the next much
            others.append(self._source(block, self.count, "pruned", tied=True))
        kept = max(source.kept for source in first) + sum(source.kept for source in others)
        finding = max(source.finding for source in (*first, *others))
        ordering = max(self._ordering(block, self.count), self._ordering(again, wide))
        return 2 * self._answer(queries) + self._lists(queries)[0] + kept + max(finding, ordering, self._last(queries))

    def _last(self, queries: int) -> int:
        """Scores, and what is done with each that is a hit; distances are computed in threads of each thread's own."""
        rows, tile = self.cut.sides(64, 4_096)
        threads, rows = min(n_threads(), -(-queries // rows)), min(rows, queries)
        tile, d, w = min(tile, self.rows), self.shape.n_features, self.shape.work
        values = min(rows * tile * d, n_threads() * max(d, self.cut.compared(d))) * (8 + w)
        return threads * (rows * tile * 140 + (tile + rows) * d * 16 + values)
