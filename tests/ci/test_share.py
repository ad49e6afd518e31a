"""How few pairs meet, on the tables of the step "pruned": what the kernel's reckoning in docs/kernels.md rests on."""

from __future__ import annotations

import numpy as np
import pytest
from proof import tables

from gpusmote.backends.cuda import CudaBackend
from gpusmote.neighbours.device_pruned import DevicePruned
from gpusmote.neighbours.pool import Pool
from tests.standin.install import cuda

__all__ = ["cuda"]


def share(n, kind):
    backend = CudaBackend(0)
    with backend.active():
        pool = Pool(backend, backend.asarray(tables.low(np.random.default_rng(0), n, 64, kind)))
        return DevicePruned(pool).share(pool.xp.arange(n), 16)


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [("curved sheet", {10_000: 0.65, 40_000: 0.3}), ("ten Gaussians", {10_000: 0.2, 40_000: 0.12})],
)
def test_the_share_falls_as_rows_grow(cuda, kind, bounds, record_property):
    cuda(memory=8 << 30)
    found = {n: share(n, kind) for n in bounds}
    for n, value in found.items():
        print(f"{kind}, {n:,} x 64: {value:.3f} of all pairs meet")
        record_property(f"{kind}, {n}", value)
    assert all(found[n] < bound for n, bound in bounds.items())
    assert found[40_000] < found[10_000]


def test_nothing_is_left_out_of_independent_columns(cuda):
    cuda()
    assert share(4_000, "independent columns") > 0.9
