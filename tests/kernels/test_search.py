"""The search kernel by itself, on the host: the same lists in whatever order threads run, and no barrier too few."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpusmote.backends import Backend, kernels
from gpusmote.neighbours.device_balls import BRANCH, DeviceBalls
from gpusmote.neighbours.pool import Pool
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

COUNT, BARRIER = 9, "__syncthreads();"


def table(d):
    rng = np.random.default_rng(d)
    return rng.normal(size=(1300, 3)) @ rng.normal(size=(3, d)) + 0.01 * rng.normal(size=(1300, d))


def lists(values, text, *order):
    """What the kernel finds for all rows: places, edges, leaves that were met."""
    d = values.shape[1]
    balls = DeviceBalls(Pool(Backend(), values))
    most, queries = (32, 64) if d <= 32 else (64, 64) if d <= 64 else (256, 32)
    starts = [np.arange(first, min(first + BRANCH, len(values)), queries) for first in range(0, len(values), BRANCH)]
    branch = np.repeat(np.arange(len(starts)), [len(part) for part in starts])
    first = np.concatenate(starts)
    tasks = np.column_stack([first, np.append(first[1:], len(values)), branch])
    nearest, low = balls.nearest_branches(np.arange(len(starts)))
    found, edge = np.full((len(values), COUNT), -1), np.full(len(values), np.nan)
    met = np.full((len(tasks), queries // 16), -1)
    levels = (balls.leaves.centres, balls.leaves.radii, balls.branches.centres, balls.branches.radii)
    arrays = (balls.rows, balls.z, *levels, np.ascontiguousarray(nearest), np.ascontiguousarray(low))
    arrays = (*arrays, np.ascontiguousarray(tasks), np.arange(len(values)))
    addresses = [a.ctypes.data for a in arrays]
    ends = [a.ctypes.data for a in (found, edge, met)]
    kernel = build(text, *order)[f"search_balls_{most}"]
    kernel.launch((len(tasks),), (2 * queries,), [*addresses, *values.shape, COUNT, *ends])
    return found, edge, met


@pytest.mark.parametrize("d", [3, 40, 100])
def test_the_order_of_threads_does_not_show(d):
    text, values = kernels.source("search_balls.cu"), table(d)
    for one, other in zip(lists(values, text), lists(values, text, "SHIM_DESCENDING"), strict=True):
        assert one.tobytes() == other.tobytes()
    found, edge, met = lists(values, text)
    assert (found >= 0).all()
    assert np.isfinite(edge).all()
    assert 0 < met.mean() < 0.6 * len(values) / 16


def differs(barrier, *order):
    """Whether the kernel finds something else without one of its barriers."""
    lines, values = kernels.source("search_balls.cu").splitlines(), table(40)
    places = [i for i, line in enumerate(lines) if line.strip().startswith(BARRIER)]
    assert len(places) == 3
    right = [a.tobytes() for a in lists(values, "\n".join(lines))]
    lines[places[barrier]] = ";"
    return [a.tobytes() for a in lists(values, "\n".join(lines), *order)] != right


@pytest.mark.parametrize("barrier", range(3))
def test_a_missing_barrier_would_be_seen(barrier):
    """By other lists, by threads that wait for each other in vain, or by a crash: hence in a process of its own."""
    for order in ((), ("SHIM_DESCENDING",)):
        code = f"import sys; from tests.kernels.test_search import differs; sys.exit(differs({barrier}, *{order}))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=False
        )
        if done.returncode:
            assert done.returncode < 0 or not done.stderr or b"different numbers of barriers" in done.stderr
            return
    pytest.fail("nothing came of it")
