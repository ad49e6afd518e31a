"""How the rows of a table lie, by a sample: what the speed of searches depends on. NumPy only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gpusmote.neighbors.cpu.query_block import relative_cost
from gpusmote.neighbors.search_set import SearchSet

__all__ = ["DataGeometry", "data_geometry"]

_ROWS, _QUERIES, _NEIGHBORS = 1024, 128, 10
_REACH, _MISSED = 3, 1.1
_AXES, _GRAM = (8, 16, 32), 256


@dataclasses.dataclass(frozen=True, eq=False)
class DataGeometry:
    """How rows lie.

    Attributes
    ----------
    dimension : float
        Intrinsic dimension where a row and its neighbors lie, from how fast distances to the neighbors grow: the
        estimator of Levina & Bickel (2004), with the inverses averaged over queries as MacKay and Ghahramani proposed.
        Gaussian rows of 8 columns give 7.8; rows that copy a 3-dimensional pattern into 8 columns give 3. 0 where the
        sample is too small or too full of copies to tell.
    share : float
        About which share of the arithmetic of comparing all pairs of rows a search does that leaves out balls. That is
        1.1 times the share of rows no further from a query than three times its tenth nearest row, had that been found
        among all rows and not in the sample only (by the dimension), and less where axes help. 1 where there is nothing
        to tell it by. Where it matters, between 0.3 and 0.6, tables of many kinds took 0.7 to 1.3 times that.
    axes : ndarray of shape (d, p), float64, or None
        Orthonormal: along which the rows vary most, where it pays to compare along these first.
    """

    dimension: float
    share: float
    axes: np.ndarray | None = None


def data_geometry(pool: SearchSet) -> DataGeometry:
    """Look at a systematic sample. It takes a few milliseconds and serves the choice of a source only.

    Parameters
    ----------
    pool : SearchSet
        On the host.
    """
    sample = pool.reduced(slice(None, None, max(1, pool.n // _ROWS)))
    asked = sample[:: max(1, len(sample) // _QUERIES)]
    square = _squares(asked, sample)
    if square.shape[1] <= _NEIGHBORS:
        return DataGeometry(0.0, 1.0)
    near = np.sort(np.partition(square, _NEIGHBORS, axis=1)[:, 1 : _NEIGHBORS + 1], axis=1)
    tell = near[:, 0] > 0  # the query itself is left out; so are queries with copies
    near, square, asked = near[tell], square[tell], asked[tell]
    growth = (np.log(near[:, -1:]) - np.log(near[:, :-1])).mean() / 2 if len(near) else 0.0
    if not growth > 0:
        return DataGeometry(0.0, 1.0)
    kth = near[:, -1:] * (len(sample) / pool.n) ** (2 * growth)  # all rows, and not the sample's, come so much nearer
    share = float((square < _REACH**2 * kth).mean())
    share, axes = _with_axes(sample, asked, kth, share)
    return DataGeometry(float(1 / growth), min(1.0, _MISSED * share), axes)


def _with_axes(sample: np.ndarray, asked: np.ndarray, kth: np.ndarray, share: float) -> tuple[float, np.ndarray | None]:
    """The share of the arithmetic with as many axes as make it smallest, and those axes."""
    d = sample.shape[1]
    few = [p for p in _AXES if 2 * p <= d and p <= len(sample)]
    if not few or relative_cost(few[0], d) > 0.7:
        return share, None
    axes = _leading(sample - sample.mean(axis=0), few[-1])
    best, found = share, 0
    for p in few:
        within = (_squares(asked @ axes[:, :p], sample @ axes[:, :p]) < kth).mean()
        # A block of queries needs more rows than one query does: the root, as measured on rows of many kinds.
        work = share * relative_cost(p, d) + min(share, 1.2 * math.sqrt(within))
        if work < best:
            best, found = float(work), p
    return best, np.ascontiguousarray(axes[:, :found]) if found else None


def _leading(centred: np.ndarray, p: int) -> np.ndarray:
    """Principal axes of a sample, or of a part of it where there are many columns: shape (d, p)."""
    part = centred[:: max(1, -(-len(centred) // _GRAM))] if centred.shape[1] > _GRAM else centred
    if part.shape[1] <= len(part):
        axes = np.linalg.eigh(part.T @ part)[1][:, ::-1][:, :p]
    else:
        axes = part.T @ np.linalg.eigh(part @ part.T)[1][:, ::-1][:, :p]
    return np.asarray(np.linalg.qr(axes)[0])


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square: np.ndarray = np.einsum("ij,ij->i", b, b) - 2 * a @ b.T
    square += np.einsum("ij,ij->i", a, a)[:, None]
    return square
