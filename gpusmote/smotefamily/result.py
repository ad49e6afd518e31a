"""The result of the functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpusmote.messages import counted

__all__ = ["Result"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The ten fields of R's result. Fields that are NULL in R are None.

    The four frames have the columns of X in their order, followed by ``class`` as the last column (even if X has a
    column of that name).

    Attributes
    ----------
    data : pandas.DataFrame
        ``orig_P``, then ``syn_data``, then ``orig_N``; features float64, ``class`` text, index from 0.
    syn_data : pandas.DataFrame
        The synthetic rows, in blocks of ``dup_size`` rows, one block for each base row, in the order of ``orig_P``;
        features float64, ``class`` text, index from 0.
    orig_N : pandas.DataFrame
        The rows of all other classes, with the order, dtypes and index labels of X; ``class`` has the dtype of
        ``target``.
    orig_P : pandas.DataFrame
        The minority rows, shuffled, with the dtypes and index labels of X; ``class`` is text.
    K : int
        The argument K.
    K_all : int or None
        Number of neighbors among all rows, in functions that use them.
    dup_size : int or ndarray of int64
        Number of synthetic rows for each base row (the computed number if the argument was 0); in ADAS one number for
        each row of ``orig_P``.
    outcast : pandas.DataFrame or None
        Minority rows that were not used, in functions that report them.
    eps : float or None
        A distance, in functions that use one.
    method : str
        Name of the method.
    """

    data: Any
    syn_data: Any
    orig_N: Any  # noqa: N815 - R's name, as are the next three
    orig_P: Any  # noqa: N815
    K: Any
    K_all: Any
    dup_size: Any
    outcast: Any
    eps: Any
    method: str

    def __repr__(self) -> str:
        size = self.dup_size if np.ndim(self.dup_size) == 0 else f"{self.dup_size.min()} to {self.dup_size.max()}"
        numbers = {"K": self.K, "K_all": self.K_all, "dup_size": size, "eps": self.eps}
        given = ", ".join(f"{name}={value}" for name, value in numbers.items() if value is not None)
        rows, columns = self.data.shape
        return (
            f"<{self.method} ({given}): {counted(len(self.orig_P), 'row')} of class {self.orig_P.iloc[0, -1]!r} + "
            f"{len(self.syn_data):,} synthetic + {len(self.orig_N):,} others = "
            f"{counted(rows, 'row')} x {counted(columns, 'column')}>"
        )
