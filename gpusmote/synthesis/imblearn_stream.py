"""Random numbers from NumPy's legacy generator (mt19937), drawn in imbalanced-learn's order."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gpusmote.errors import ParameterError

__all__ = ["ImblearnStream"]


class ImblearnStream:
    """The random numbers for ``bit_generator="mt19937"``.

    SMOTE and Borderline-SMOTE draw for each class ``randint(n_pairs)`` for all rows, then ``uniform()`` for all rows.
    If the gap of a pair is limited ("borderline-2"), they then draw ``uniform(0, limit)`` for the rows of these pairs,
    and multiply their first number by it. imbalanced-learn calls ``check_random_state`` again for each of these steps,
    so an int restarts the sequence, and a RandomState (or the global one, for None) continues it.

    ADASYN, in which the number of rows of each seed is given, draws for each class ``randint(n_neighbors)`` for all
    rows, then ``uniform()`` for all rows, from one generator for all classes.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState or None

    Raises
    ------
    ParameterError
        If ``random_state`` is a Generator or an int above 4294967295, which imbalanced-learn does not accept.
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
        self._generator: np.random.RandomState | None = None

    def draw_neighbors(self, n_neighbors: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Pick and gap of all rows of a class if the seed of each row is given, as in ADASYN.

        Parameters
        ----------
        n_neighbors : int
        n : int

        Returns
        -------
        pick : ndarray of shape (n,), int64
            Number of the neighbor among those of the seed.
        gap : ndarray of shape (n,), float64
        """
        if self._generator is None:
            self._generator = check_random_state(self._random_state)
        return self._both(self._generator, n_neighbors, n)

    def draw_pairs(self, n_pairs: int, n: int, limit: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Pick and gap of all rows of a class if each row draws its (seed, neighbor) pair, as in SMOTE.

        Parameters
        ----------
        n_pairs : int
        n : int
        limit : ndarray of shape (n_pairs,), float64, optional
            Largest gap of each pair; 1 means the whole segment.

        Returns
        -------
        pick : ndarray of shape (n,), int64
        gap : ndarray of shape (n,), float64
            Within the limit of its pair.
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
