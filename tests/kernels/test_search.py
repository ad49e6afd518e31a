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
    balls = DeviceBalls(Pool(Backend(), values))
    queries = 64 if values.shape[1] <= 64 else 32
    starts = [np.arange(first, min(first + BRANCH, len(values)), queries) for first in range(0, len(values), BRANCH)]
    branch = np.repeat(np.arange(len(starts)), [len(part) for part in starts])
    first = np.concatenate(starts)
    tasks = np.column_stack([first, np.append(first[1:], len(values)), branch])
    return launch(text, order, balls, tasks, np.arange(len(values)), *balls.nearest_branches(np.arange(len(starts))))


def launch(text, order, balls, tasks, places, nearest, low, count=COUNT):
    """One launch of the kernel for so many columns."""
    n, d = len(balls.rows), balls.columns
    most, queries = (32, 64) if d <= 32 else (64, 64) if d <= 64 else (256, 32)
    found, edge = np.full((len(places), count), -1), np.full(len(places), np.nan)
    met = np.full((len(tasks), queries // 16), -1)
    levels = (balls.leaves.centres, balls.leaves.radii, balls.branches.centres, balls.branches.radii)
    arrays = [np.ascontiguousarray(a) for a in (balls.rows, balls.z, *levels, nearest, low, tasks, places)]
    ends = [a.ctypes.data for a in (found, edge, met)]
    kernel = build(text, *order)[f"search_balls_{most}"]
    kernel.launch((len(tasks),), (2 * queries,), [*(a.ctypes.data for a in arrays), n, d, count, *ends])
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


def test_branches_end_where_none_can_matter_and_not_before():
    """The last of 33 branches begins where the query's own ends; all others are said to be nearer, and are far away.

    Its first leaf is met at once, as the one next to the query's; whether its second is shows where branches end.
    """
    values = np.r_[np.linspace(0, 1, 512), np.linspace(1.0005, 1.0055, 512), np.linspace(100, 200, 31 * 512)][:, None]
    balls = DeviceBalls(Pool(Backend(), values))
    branch_of = balls.place // BRANCH
    own, other = branch_of[0], branch_of[512]
    assert (branch_of[:512] == own).all()
    assert (branch_of[512:1024] == other).all()
    nearest, low = (a[0] for a in balls.nearest_branches(np.array([own])))
    order = np.append(nearest[nearest != other], other)
    text, task = kernels.source("search_balls.cu"), np.array([[0, 1, 0]])
    query = balls.place[[511]]  # the last value of its branch
    second, first_only = [*range(512, 544)], [*range(495, 511), *range(512, 528)]
    for bound, expected in ((low[nearest == other], second), (3 * balls.branches.radii[[own]], first_only)):
        low_of = np.append(np.full(32, -1, "f4"), bound)  # less than the truth is as true
        found, _, _ = launch(text, (), balls, task, query, order, low_of, 32)
        assert sorted(balls.order[found[0]].tolist()) == expected


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
