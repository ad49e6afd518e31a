"""What the host build makes of warps: their shuffles and votes, and barriers that not everyone reaches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

ORDERS = [(), ("SHIM_DESCENDING",)]
KERNELS = """
extern "C" __global__ void exchanges(const long long* in, long long* out) {
    const long long i = threadIdx.x;
    const float third = static_cast<float>(in[i]) / 3;
    out[8 * i] = __shfl_sync(0xffffffffu, in[i], 5);
    out[8 * i + 1] = __shfl_up_sync(0xffffffffu, in[i], 1);
    out[8 * i + 2] = __shfl_xor_sync(0xffffffffu, in[i], 3);
    out[8 * i + 3] = static_cast<long long>(__ballot_sync(0xffffffffu, in[i] % 3 == 0));
    out[8 * i + 4] = __any_sync(0xffffffffu, in[i] == 40);
    out[8 * i + 5] = __syncthreads_or(in[i] == 40);
    out[8 * i + 6] = static_cast<long long>(3 * __shfl_sync(0xffffffffu, third, 31) + 0.5f);
    out[8 * i + 7] = 100 * __ffs(12) + __popc(0xffu) + __syncthreads_or(0);
}
extern "C" __global__ void unequal_warps(const long long* in, long long* out) {
    static long long met[64];
    const int i = static_cast<int>(threadIdx.x), warp = i / 32;
    long long total = in[i];
    for (int turn = 0; turn < 1 + 6 * warp; ++turn) total += __shfl_xor_sync(0xffffffffu, total, 1);
    met[i] = total;
    __syncthreads();
    out[i] = met[63 - i];
}
extern "C" __global__ void parted_lanes(const long long* in, long long* out) {
    const long long i = threadIdx.x;
    out[i] = in[i] % 2 != 0 ? __shfl_xor_sync(0xffffffffu, in[i], 2) : 0;
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
def test_lanes_show_each_other_their_values(order):
    i, out = run("exchanges", *order)
    out = out.reshape(64, 8)
    warp, lane = i // 32 * 32, i % 32
    assert out[:, 0].tolist() == (warp + 5).tolist()
    assert out[:, 1].tolist() == np.where(lane == 0, i, i - 1).tolist()
    assert out[:, 2].tolist() == (i ^ 3).tolist()
    votes = [sum(1 << lane for lane in range(32) if (first + lane) % 3 == 0) for first in (0, 32)]
    assert out[:, 3].tolist() == np.repeat(votes, 32).tolist()
    assert out[:, 4].tolist() == (warp == 32).astype(int).tolist()
    assert (out[:, 5] == 1).all()
    assert out[:, 6].tolist() == (warp + 31).tolist()
    assert (out[:, 7] == 308).all()


@pytest.mark.parametrize("order", ORDERS)
def test_warps_go_their_own_ways_between_the_barriers_of_a_block(order):
    i, out = run("unequal_warps", *order)
    total = i.copy()
    for turn in range(7):
        total = np.where(turn < 1 + 6 * (i // 32), total + total[i ^ 1], total)
    assert out[:64].tolist() == total[::-1].tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_lanes_that_part_before_a_shuffle_are_told_of(order):
    with pytest.raises(AssertionError, match="parted_lanes: lanes of one warp met different numbers of barriers"):
        run("parted_lanes", *order)


def test_a_warp_that_has_ended_is_not_waited_for():
    given, out = run("early_end")
    assert out[32:64].tolist() == given[32:].tolist()
