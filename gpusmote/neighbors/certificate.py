r"""The certificate: a proof that a list of candidates holds the k nearest rows.

Notation, in reduced rows (see :class:`~gpusmote.neighbors.search_set.SearchSet`; all norms are at most 1). ``X`` is the
query and ``Y`` another row, both exact. ``D(Y)**2`` is the squared distance that decides, as computed (float64,
differences, columns in order). ``A(Y)`` is the squared distance as the search approximates it. ``u`` is the unit
roundoff of the search (2**-24 or 2**-53) and ``v`` = 2**-53.

Every row outside a list has ``A(Y) >= edge``. Let ``D`` be the k-th smallest deciding distance in the list. Then the
list certainly holds the k nearest rows, ties included, if ::

    D**2  <  edge - eps,        eps = g * (|X| + M_x)**2 + t,      g = c * u / (1 - c * u)
    M_x = min(M, (|X| + D) * (1 + 2**-20) + 2**-150),              M = the largest norm of any row

**Far rows.** If ``|Y| > M_x`` then ``|X - Y| >= |Y| - |X| > D``, by a margin that covers the rounding of norms and
distances (relative (d + 3) v < 2**-20, and underflow): ``D(Y) > D``.

**Near rows.** If ``|Y| <= M_x`` then ``|A(Y) - D(Y)**2| <= eps``, so ``D(Y)**2 >= edge - eps > D**2``. The tables
below give the bound term by term, in units of u to first order, for ``A = |X|**2 + |Y|**2 - 2 X.Y``:

=====================================================  ==========  ==========  ==========
float32 (norms in float64, rounded once)               ``|X|**2``  ``2|X||Y|`` ``|Y|**2``
=====================================================  ==========  ==========  ==========
rows centered and rounded to float32                    0            2           0
norm rounded to float32                                 1            0           1
sum of d products and the norms, any order, FMA or not  d + 2        d + 2       d + 2
all float64 steps, (3 d + 8) v / u                      < 1          < 1         < 1
=====================================================  ==========  ==========  ==========

The largest column is d + 5. If the norms themselves are summed in float32 (as in FAISS), d replaces the 1, and they
are no longer part of the product's sum: d + 6 at most. ``c = d + 8``.

=====================================================  ==========  ==========  ==========
float64                                                ``|X|**2``  ``2|X||Y|`` ``|Y|**2``
=====================================================  ==========  ==========  ==========
rows centered                                           2            2           2
norm, d products summed in any order                    d            0           d
sum of d products and the norms                         d + 2        d + 2       d + 2
the deciding distance, d + 2 roundings                  d + 2        d + 2       d + 2
=====================================================  ==========  ==========  ==========

The largest column is 3 d + 6. ``c = 3 d + 16``.

The remaining two or more units cover the rounding of ``edge``, of ``eps`` and of the test itself. Using ``g`` instead
of ``c u`` covers the higher orders (Higham 2002, "Accuracy and Stability of Numerical Algorithms", lemma 3.1).

**Underflow.** Each of at most 2 d + 4 products, sums and conversions may lose the smallest normal number s (flush to
zero included). Underflow in the rows themselves adds at most ``2 (|X| + |Y|) 2 s sqrt(d) <= 4 (d + 1) s``.
So ``t = (6 d + 8) s`` with s = 2**-126 in float32. That is in the units of reduced rows: the caller's rows are
converted to float64 without loss (:meth:`gpusmote.backends.Backend.to_float64`). In float64 the deciding distance
underflows first: by 2**-1074 a column in the caller's units. There the largest range is at least 2**-301, so this is
less than 2**-400 in reduced rows.

**Direct search** (the k-d tree: differences in float64, no cancellation): ``A(Y)`` has relative error (d + 6) v, the
deciding distance (d + 2) v, and the tree's own bounds 3 v for each of its levels. ``eps = 2**-32 * edge + t`` covers
all of it up to d = 1e5 and 500,000 levels.

Equality certifies nothing, and neither does a value that is not finite. A list of all other rows has ``edge = inf``.
"""

from __future__ import annotations

import dataclasses

from gpusmote.backends.cpu import Array
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DIRECT", "FLOAT32", "FLOAT64", "Arithmetic", "certified", "error_bound"]


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """How a search approximates squared distances.

    Attributes
    ----------
    dtype : str
        Dtype of its matrix products.
    roundoff : float
        ``u`` above.
    per_column, constant : int
        ``c = per_column * d + constant``.
    smallest : float
        ``s`` above.
    """

    dtype: str
    roundoff: float
    per_column: int
    constant: int
    smallest: float

    def relative(self, d: int) -> float:
        """``g`` above; infinite if the dtype is too coarse for this number of columns."""
        cu = (self.per_column * d + self.constant) * self.roundoff
        return cu / (1 - cu) if cu < 0.5 else float("inf")

    def absolute(self, d: int) -> float:
        """``t`` above."""
        return (6 * d + 8) * self.smallest


FLOAT32 = Arithmetic("f4", 2.0**-24, 1, 8, 2.0**-126)
FLOAT64 = Arithmetic("f8", 2.0**-53, 3, 16, 2.0**-400)
DIRECT = Arithmetic("f8", 2.0**-32, 0, 1, 2.0**-400)


def error_bound(search_set: SearchSet, arithmetic: Arithmetic, queries: Array, kth: Array) -> Array:
    """The error bound ``eps`` of a search by matrix products.

    Parameters
    ----------
    search_set : SearchSet
    arithmetic : Arithmetic
        FLOAT32 or FLOAT64.
    queries : array of shape (m,), int64
    kth : array of shape (m,), float64
        ``D**2`` in the units of reduced rows.

    Returns
    -------
    array of shape (m,), float64
    """
    norm = search_set.norms[queries]
    reach = (norm + search_set.xp.sqrt(kth)) * (1 + 2.0**-20) + 2.0**-150
    reach = norm + search_set.xp.minimum(reach, search_set.largest * (1 + 2.0**-20))
    return arithmetic.relative(search_set.d) * (reach * reach) + arithmetic.absolute(search_set.d)


def certified(search_set: SearchSet, arithmetic: Arithmetic, queries: Array, kth: Array, edge: Array) -> Array:
    """Which lists certainly hold the k nearest rows of their query.

    Parameters
    ----------
    search_set : SearchSet
    arithmetic : Arithmetic
        The arithmetic that ``edge`` was computed in.
    queries : array of shape (m,), int64
    kth, edge : array of shape (m,), float64
        ``D**2`` and the largest approximate squared distance of the list, in the units of reduced rows.

    Returns
    -------
    array of shape (m,), bool
    """
    if arithmetic is DIRECT:
        eps = arithmetic.relative(search_set.d) * edge + arithmetic.absolute(search_set.d)
        return search_set.xp.isinf(edge) | (kth + eps < edge)
    # Written as a sum, because inf - inf would be NaN for a list of all rows.
    return kth + error_bound(search_set, arithmetic, queries, kth) < edge
