"""What every function returns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpusmote.messages import counted

__all__ = ["Result"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The ten fields of R's result; what R leaves NULL is None.

    In the four frames the columns of X come in their order, then ``class``, always last and always so named (a
    column of X of that name stays too).

    Attributes
    ----------
    data : pandas.DataFrame
        ``orig_P``, then ``syn_data``, then ``orig_N``; features float64, ``class`` text, index from 0.
    syn_data : pandas.DataFrame
        The synthetic rows, in blocks of ``dup_size`` rows, one block a base row, base rows in the order of ``orig_P``;
        features float64, ``class`` text, index from 0.
    orig_N : pandas.DataFrame
        The other rows, of however many classes, in the order and with the dtypes and index labels of X; ``class``
        has the dtype of ``target``.
    orig_P : pandas.DataFrame
        The minority rows, shuffled, with the dtypes and index labels of X; ``class`` is text.
    K : int
        As given.
    K_all : int or None
        Neighbors among all rows, where the function looks at them.
    dup_size : int or ndarray of int64
        Synthetic rows a base row, after 0 has been worked out; in ADAS of each row of ``orig_P``.
    outcast : pandas.DataFrame or None
        Minority rows that took no part, where the function tells.
    eps : float or None
        A distance, where the function works with one.
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
        told = ", ".join(f"{name}={value}" for name, value in numbers.items() if value is not None)
        rows, columns = self.data.shape
        return (
            f"<{self.method} ({told}): {counted(len(self.orig_P), 'row')} of class {self.orig_P.iloc[0, -1]!r} + "
            f"{len(self.syn_data):,} synthetic + {len(self.orig_N):,} others = "
            f"{counted(rows, 'row')} x {counted(columns, 'column')}>"
        )
