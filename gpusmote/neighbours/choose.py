"""The one table that says which source of candidates serves a search."""

from __future__ import annotations

import dataclasses

__all__ = ["Choice", "choose", "second"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A source's name and how many candidates it is asked for."""

    source: str
    count: int


def choose(device: str, n: int, d: int, k: int, everything: bool) -> Choice:
    """Which source serves a search. It decides speed only.

    Parameters
    ----------
    device : str
        The backend's name.
    n, d, k : int
        Rows of the pool, columns, neighbours wanted.
    everything : bool
        Whether every row is a query.

    Returns
    -------
    Choice

    Notes
    -----
    Measured with NumPy 2.4, SciPy 1.17 and OpenBLAS 0.3 (AVX2) on two cores, Gaussian rows, k = 5. A query costs the
    tiles n * (0.016 d + 0.16) ns a core and the tree a time that grows little with n but doubles with every 1.3
    columns; they cross at about n = 2,300 for 2 columns, 6,700 for 4, 19,000 for 6, 56,000 for 8.
    On a device the list is 31 long: with the query itself 32, which FAISS selects with the kernel that it has for 6.
    """
    table = (
        # where                                      source     candidates
        (n - 1 <= k + 3,                             "every",   n - 1),
        (device != "cpu",                            "device",  max(31, k + 8)),
        (d <= 12 and n >= 800 * 1.8**d,              "tree",    k + 3),
        (everything and 4096 <= n <= 262_144,        "pairs",   k + 3),
        (True,                                       "tiles",   k + 3),
    )  # fmt: skip
    return next(Choice(source, count) for applies, source, count in table if applies)


def second(device: str) -> str:
    """Which source serves the float64 pass."""
    return "tiles-float64" if device == "cpu" else "product-float64"
