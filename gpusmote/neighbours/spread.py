"""A search on several devices: the rows are copied to each, the queries are cut among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpusmote.backends.base import Array, Backend
from gpusmote.neighbours.pool import Pool
from gpusmote.neighbours.searched import SearchReport

if TYPE_CHECKING:
    from gpusmote.neighbours.neighbourhood import Neighbourhood

__all__ = ["LEAST_QUERIES", "Spread"]

LEAST_QUERIES = 8192
"""From how many queries on: fewer are searched before the rows have been copied, whatever their number.

By figures of the makers (30e12 float32 operations and 25e9 bytes between devices a second), not by measurement.
"""


class Spread:
    """The k nearest rows of a pool, each device working for a part of the queries.

    Parameters
    ----------
    pool : Pool
        On the first of several devices.
    make : callable
        The searcher of one device, given the device, the rows and a report.
    used : callable
        Told the name of each source.
    """

    def __init__(
        self,
        pool: Pool,
        make: Callable[[Backend, Array, SearchReport], Neighbourhood],
        used: Callable[[str], None],
    ) -> None:
        self._pool, self._make, self._used = pool, make, used
        self._searchers: dict[str, tuple[Neighbourhood, SearchReport]] = {}

    def nearest(self, queries: Array, k: int, everything: bool) -> tuple[Array, Array]:
        """The k nearest rows of the pool, and which pass was certain of them: 0, 1 or 2.

        Parameters
        ----------
        queries : array of shape (m,), int64
            On the first device, as the results.
        k : int
        everything : bool
            Whether every row is a query.
        """
        pool, devices = self._pool, self._pool.backend
        out = pool.xp.empty((len(queries), k), "i8")
        passes = pool.xp.empty(len(queries), "i1")

        def prepare(device: Backend) -> Callable[[int, int], tuple[Array, Array]]:
            if device.name not in self._searchers:  # this device's own thread is the only one to ask
                report = SearchReport()
                self._searchers[device.name] = self._make(device, device.xp.asarray(pool.values), report), report
            searcher, asked = self._searchers[device.name][0], device.xp.asarray(queries)
            return lambda start, stop: searcher.search(asked[start:stop], k, everything)

        for start, stop, found in devices.share(len(queries), prepare):
            out[start:stop], passes[start:stop] = found
        for _, report in self._searchers.values():
            for source in report.sources:
                self._used(source)
        return out, passes
