"""y as whole-number codes and the labels that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Target"]


class Target:
    """y as the caller gave it.

    Attributes
    ----------
    codes : ndarray of shape (n,), int64
        Position of each row's label in ``classes``; on the host.
    classes : ndarray of shape (c,)
        The labels that occur, sorted.
    counts : ndarray of shape (c,), int64
        Rows of each.
    """

    codes: np.ndarray
    classes: np.ndarray
    counts: np.ndarray

    def __init__(self, y: Any) -> None:
        self._y = np.asarray(y)
        self.classes, self.codes, self.counts = np.unique(self._y, return_inverse=True, return_counts=True)

    def only(self, codes: np.ndarray) -> Any:
        """The caller's kind of container with the labels of these codes."""
        return self.classes[codes].astype(self._y.dtype)

    def append(self, codes: np.ndarray, X: Any) -> Any:
        """The caller's kind of container: the original labels, then those of ``codes``; ``X`` is the new table,
        whose index a pandas y takes over."""
        return np.concatenate([self._y, self.only(codes)])
