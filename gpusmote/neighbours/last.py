"""The last pass: every row that could be among the k nearest, compared by the distance that decides."""

from __future__ import annotations

from gpusmote.backends.base import Array
from gpusmote.neighbours.certificate import FLOAT64, error_bound
from gpusmote.neighbours.pool import Pool
from gpusmote.neighbours.product import scores

__all__ = ["last_pass"]

_BLOCK, _TILE = 64, 4096


def last_pass(pool: Pool, queries: Array, kth: Array, k: int) -> Array:
    """The k nearest other rows, whatever ties there are.

    Let D be the k-th smallest deciding distance of any list. A row whose deciding distance is at most D has an
    approximate squared distance (float64 products) of at most ``D**2 + eps``: the rows that have are collected, and
    their deciding distances computed.

    Parameters
    ----------
    pool : Pool
    queries : array of shape (m,), int64
    kth : array of shape (m,), float64
        ``D**2`` in the unit of reduced rows.
    k : int

    Returns
    -------
    array of shape (m, k), int64
    """
    out = pool.xp.empty((len(queries), k), "i8")
    limit = kth + error_bound(pool, FLOAT64, queries, kth)

    def work(start: int, stop: int) -> None:
        out[start:stop] = _block(pool, queries[start:stop], limit[start:stop], k)

    pool.each_block(work, len(queries), _BLOCK)
    return out


def _block(pool: Pool, asked: Array, limit: Array, k: int) -> Array:
    """The k nearest of a few queries. At most m * k pairs are carried from tile to tile."""
    xp = pool.xp
    # Scores lack |x|**2; the limit is moved instead. Rounding that is part of the bound's constant.
    bar = (limit - pool.norms[asked] ** 2)[:, None]
    query, row, distance = xp.empty(0, "i8"), xp.empty(0, "i8"), xp.empty(0, "f8")
    for first in range(0, pool.n, _TILE):
        score = scores(pool, asked, first, min(pool.n, first + _TILE), FLOAT64)
        new_query, new_row = xp.nonzero(score <= bar)
        if not new_query.size:
            continue
        new_row = new_row + first
        new_distance = pool.backend.rerank(pool.values, asked[new_query], new_row[:, None])[:, 0]
        query, row = xp.concatenate([query, new_query]), xp.concatenate([row, new_row])
        distance = xp.concatenate([distance, new_distance])
        # Rows come in ascending order, within a tile and from tile to tile: stable sorts keep ties that way.
        order = xp.argsort(distance, kind="stable")
        order = order[xp.argsort(query[order], kind="stable")]
        query = query[order]
        rank = xp.arange(query.size) - xp.searchsorted(query, query)
        keep = rank < k
        order = order[keep]
        query, row, distance = query[keep], row[order], distance[order]
    return row.reshape(len(asked), k)
