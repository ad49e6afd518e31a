"""How the rows of a table lie, by a sample: what the speed of searches depends on. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

from gpusmote.neighbours.pool import Pool

__all__ = ["Lie", "how_rows_lie"]

_ROWS, _QUERIES, _NEIGHBOURS = 1024, 128, 10
_REACH = 3


@dataclasses.dataclass(frozen=True)
class Lie:
    """How rows lie.

    Attributes
    ----------
    dimension : float
        Intrinsic dimension where a row and its neighbours lie, from how fast distances to the neighbours grow: the
        estimator of Levina & Bickel (2004), with the inverses averaged over queries as MacKay and Ghahramani proposed.
        Gaussian rows of 8 columns give 7.8; rows that copy a 3-dimensional pattern into 8 columns give 3. 0 where the
        sample is too small or too full of copies to tell.
    share : float
        Which share of all rows lies no further from a query than three times its tenth nearest row, had that been
        found among all rows and not in the sample only (by the dimension): about what a search that leaves out balls
        compares. 1 where there is nothing to tell it by.
    """

    dimension: float
    share: float


def how_rows_lie(pool: Pool) -> Lie:
    """Look at a systematic sample. It takes about a millisecond and serves the choice of a source only.

    Parameters
    ----------
    pool : Pool
        On the host.
    """
    sample = pool.reduced(slice(None, None, max(1, pool.n // _ROWS)))
    asked = sample[:: max(1, len(sample) // _QUERIES)]
    square = np.einsum("ij,ij->i", sample, sample) - 2 * asked @ sample.T
    square += np.einsum("ij,ij->i", asked, asked)[:, None]
    if square.shape[1] <= _NEIGHBOURS:
        return Lie(0.0, 1.0)
    near = np.sort(np.partition(square, _NEIGHBOURS, axis=1)[:, 1 : _NEIGHBOURS + 1], axis=1)
    tell = near[:, 0] > 0  # the query itself is left out; so are queries with copies
    near, square = near[tell], square[tell]
    growth = np.log(near[:, -1:] / near[:, :-1]).mean() / 2 if len(near) else 0.0
    if not growth > 0:
        return Lie(0.0, 1.0)
    closer = (len(sample) / pool.n) ** growth  # all rows, and not the sample's, come so much nearer
    within = square < near[:, -1:] * (_REACH * closer) ** 2
    return Lie(float(1 / growth), float(within.mean()))
