"""Draws in imbalanced-learn's order, from NumPy's legacy generator (mt19937)."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gpusmote.errors import ParameterError

__all__ = ["ImblearnStream"]


class ImblearnStream:
    """What ``bit_generator="mt19937"`` draws.

    For each class of SMOTE and Borderline-SMOTE: ``randint(n_pairs)`` for all rows, then ``uniform()`` for all rows.
    Where a pair's reach is limited (Borderline-SMOTE's second kind), then ``uniform(0, limit)`` for the rows of such
    pairs, by which their first number is multiplied. imbalanced-learn asks ``check_random_state`` anew each time, so
    that an int starts over and a RandomState (or the global one, for None) goes on.

    For each class of ADASYN, whose rows know their seeds: ``choice(n_neighbors)`` for all rows, which is ``randint``,
    then ``uniform()`` for all rows, from one generator that goes on from class to class.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState or None

    Raises
    ------
    ParameterError
        For what imbalanced-learn does not take: a Generator, or an int above 4294967295.
    """

    def __init__(self, random_state: Any) -> None:
        if isinstance(random_state, np.random.Generator):
            raise ParameterError(
                'random_state is a Generator, and bit_generator="mt19937" draws from the legacy one.',
                "Give an int, a RandomState or None.",
            )
        if isinstance(random_state, numbers.Integral) and int(random_state) >= 2**32:
            raise ParameterError(
                f'random_state is {random_state}, and bit_generator="mt19937" draws from the legacy generator.',
                "Its seeds go up to 4294967295.",
            )
        self._random_state = random_state
        self._goes_on: np.random.RandomState | None = None

    def draw_neighbors(self, n_neighbors: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Pick and gap of all rows of a class where each row's seed is given, as in ADASYN.

        Parameters
        ----------
        n_neighbors : int
        n : int

        Returns
        -------
        pick : ndarray of shape (n,), int64
            One of the seed's neighbors.
        gap : ndarray of shape (n,), float64
        """
        if self._goes_on is None:
            self._goes_on = check_random_state(self._random_state)
        return self._both(self._goes_on, n_neighbors, n)

    def draw_pairs(self, n_pairs: int, n: int, limit: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Pick and gap of all rows of a class where each row draws its pair, as in SMOTE.

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
        pick, gap = self._both(check_random_state(self._random_state), n_pairs, n)
        if limit is not None:
            reach = limit[pick]
            near = reach < 1.0
            again = check_random_state(self._random_state)
            gap[near] *= again.uniform(0.0, 1.0, size=int(near.sum())) * reach[near]
        return pick, gap

    @staticmethod
    def _both(generator: np.random.RandomState, n_choices: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        pick = generator.randint(0, n_choices, size=n)
        return pick.astype(np.int64), generator.uniform(size=n)
