"""What a call holds in memory, stage by stage, as formulas of its sizes and of how its work is cut.

Each line stands for the arrays that the code of its stage holds at its highest point. Tests hold the sums against
measured peaks: of the host's allocations, and of the arrays on the stand-in for a device.

What happens follows from the sizes but for a few things that the rows decide, and of these an estimate takes the
ordinary case for ``total``:

- no row is a copy of another, and float32 tells all neighbours apart: no second pass;
- the rows spread evenly in all their columns, which is what a k-d tree needs many rows for, and what leaves out no
  balls of rows;
- every row of a class is a seed: a rule that leaves out some leaves a smaller plan, and fewer searches;
- an approximate search reaches its recall, and the sparse rows that are made have as many entries as those of X.

``most`` takes the worst of each, and a limit is held against it.
"""

from __future__ import annotations

from gpusmote.footprint.device import beside_a_device, on_device, rows_on_device, through_device
from gpusmote.footprint.host import on_host, rows_on_host
from gpusmote.footprint.shape import Bytes, Shape

__all__ = [
    "Bytes",
    "Shape",
    "beside_a_device",
    "on_device",
    "on_host",
    "rows_on_device",
    "rows_on_host",
    "through_device",
]
