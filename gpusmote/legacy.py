"""Draws in imbalanced-learn's order, from NumPy's legacy generator (mt19937)."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gpusmote.errors import ParameterError

__all__ = ["LegacyDraws"]


class LegacyDraws:
    """What ``bit_generator="mt19937"`` draws.

    For each class: ``randint(n_pairs)`` for all rows, then ``uniform()`` for all rows. Where a pair's reach is
    limited (Borderline-SMOTE's second kind), then ``uniform(0, limit)`` for the rows of such pairs, by which their
    first number is multiplied. imbalanced-learn asks ``check_random_state`` anew each time, so that an int starts
    over and a RandomState (or the global one, for None) goes on.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState or None

    Raises
    ------
    ParameterError
        For a Generator, which imbalanced-learn does not take.
    """

    def __init__(self, random_state: Any) -> None:
        if isinstance(random_state, np.random.Generator):
            raise ParameterError(
                'random_state is a Generator, and bit_generator="mt19937" draws from the legacy one.',
                "Give an int, a RandomState or None.",
            )
        self._random_state = random_state

    def draw(self, n_pairs: int, n: int, limit: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Pick and gap of all rows of a class.

        Parameters
        ----------
        n_pairs : int
        n : int
        limit : ndarray of shape (n_pairs,), float64, optional
            How far each pair's rows may go, 1 for the whole segment.

        Returns
        -------
        pick : ndarray of shape (n,), int64
        gap : ndarray of shape (n,), float64
            For pairs with a limit, already within it.
        """
        generator = check_random_state(self._random_state)
        pick = generator.randint(0, n_pairs, size=n)
        gap = generator.uniform(size=n)
        if limit is not None:
            reach = limit[pick]
            near = reach < 1.0
            again = check_random_state(self._random_state)
            gap[near] *= again.uniform(0.0, 1.0, size=int(near.sum())) * reach[near]
        return pick.astype(np.int64), gap
