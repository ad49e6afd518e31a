"""The one table that says which source of candidates serves a search."""

from __future__ import annotations

import dataclasses

from gpusmote.neighbours.candidates import AT_ONCE
from gpusmote.neighbours.dimension import local_dimension
from gpusmote.neighbours.pool import Pool

__all__ = ["Choice", "choose", "second"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A source's name and how many candidates it is asked for."""

    source: str
    count: int


def choose(pool: Pool, k: int, everything: bool) -> Choice:
    """Which source serves a search. It decides speed only.

    Parameters
    ----------
    pool : Pool
    k : int
        Neighbours wanted.
    everything : bool
        Whether every row is a query.

    Returns
    -------
    Choice

    Notes
    -----
    Measured with NumPy 2.4, SciPy 1.17 and OpenBLAS 0.3 (AVX2) on two cores, k = 5. A query costs tiles and pairs a
    time that grows with n: at 8 columns 0.8 and 0.5 ns a row and core, at 32 columns 1.0 and 0.7. It costs the tree a
    time that hardly grows with n, but by 1.8 for every dimension that the rows have locally
    (:func:`~gpusmote.neighbours.dimension.local_dimension`): Gaussian rows cross at about n = 2,500 for 2 columns,
    8,000 for 4, 25,000 for 6, 80,000 for 8; for 10,000 flights (8 columns, 1.5 dimensions) the tree takes half the time
    of pairs. Pairs share each product between two queries, but hold the lists of all rows at once.
    On a device the list holds 31, because FAISS selects 32, the query among them, with the kernel that it has for 6.
    """
    n, d, on_host = pool.n, pool.d, pool.backend.name == "cpu"
    count = k + 3 if on_host else max(31, k + 8)
    if n - 1 <= count:
        return Choice("every", n - 1)
    if not on_host:
        return Choice("device", count)
    if not pool.backend.cut.copies:  # nor is there room to look at how the rows lie
        return Choice("product", count)
    if n >= 2_000 and d <= 16 and n >= 800 * 1.8 ** local_dimension(pool):
        return Choice("tree", count)
    if everything and n >= 4_096 and n * count <= AT_ONCE:
        return Choice("pairs", count)
    return Choice("tiles", count)


def second(pool: Pool) -> str:
    """Which source serves the float64 pass."""
    return "tiles-float64" if pool.backend.name == "cpu" else "product-float64"
