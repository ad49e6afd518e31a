"""Barriers of warps and blocks in the host build of the kernels, and those that not every thread reaches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

ORDERS = [(), ("SHIM_DESCENDING",)]
KERNELS = """
extern "C" __global__ void unequal_warps(const long long* in, long long* out) {
    static long long met[64];
    const int i = static_cast<int>(threadIdx.x), warp = i / 32;
    long long total = in[i];
    for (int turn = 0; turn < 1 + 6 * warp; ++turn) {
        met[i] = total;
        __syncwarp();
        total += met[i ^ 1];
        __syncwarp();
    }
    met[i] = total;
    __syncthreads();
    out[i] = met[63 - i];
}
extern "C" __global__ void parted_lanes(const long long* in, long long* out) {
    const long long i = threadIdx.x;
    if (in[i] % 2 != 0) __syncwarp();
    out[i] = in[i];
    __syncthreads();
}
extern "C" __global__ void early_end(const long long* in, long long* out) {
    const long long i = threadIdx.x;
    if (i < 32) return;
    __syncthreads();
    out[i] = in[i];
}
"""


def run(name, *order):
    given, out = np.arange(64), np.full(512, -1)
    build(KERNELS, *order)[name].launch((1,), (64,), [given.ctypes.data, out.ctypes.data])
    return given, out


@pytest.mark.parametrize("order", ORDERS)
def test_warps_go_their_own_ways_between_the_barriers_of_a_block(order):
    i, out = run("unequal_warps", *order)
    total = i.copy()
    for turn in range(7):
        total = np.where(turn < 1 + 6 * (i // 32), total + total[i ^ 1], total)
    assert out[:64].tolist() == total[::-1].tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_lanes_that_part_before_a_barrier_are_reported(order):
    with pytest.raises(AssertionError, match="parted_lanes: lanes of one warp met different numbers of barriers"):
        run("parted_lanes", *order)


def test_a_warp_that_has_ended_is_not_waited_for():
    given, out = run("early_end")
    assert out[32:64].tolist() == given[32:].tolist()
