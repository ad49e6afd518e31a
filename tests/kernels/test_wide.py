"""Sixteen bytes at once where rows lie so, single values where they do not, and positions beyond 32 bits."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from gpusmote.backends import Backend, kernels
from tests.standin.host_kernels import HAS_COMPILER, NO_COMPILER, build

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason=NO_COMPILER)

HOST = Backend()


def at(address: int, shape: tuple[int, ...], dtype: type, keep: np.ndarray) -> np.ndarray:
    """A view of ``keep``'s bytes that begins ``address`` bytes after a multiple of 16."""
    start = -keep.ctypes.data % 16 + address
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return keep[start : start + size].view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6, 7, 8, 12, 31, 32, 33, 64, 100])
@pytest.mark.parametrize(("from_", "to"), [(0, 0), (1, 0), (0, 1), (1, 1), (2, 3)])
def test_every_width_and_alignment(dtype, d, from_, to):
    """``from_`` and ``to``: by how many values the table and the output miss a multiple of 16 bytes."""
    rng, m = np.random.default_rng(d), 37
    item = np.dtype(dtype).itemsize
    values = at(from_ * item, (9, d), dtype, np.zeros(9 * d * item + 64, np.uint8))
    values[...] = rng.normal(size=(9, d)) * 10.0 ** rng.integers(-40, 30, d)
    guarded = np.full(m * d * item + 96, 0xAB, np.uint8)
    out = at(to * item, (m, d), dtype, guarded)
    base, neighbor, gap = rng.integers(0, 9, m), rng.integers(0, 9, m), rng.random(m)
    before, expected = guarded.copy(), np.empty((m, d), dtype)
    HOST.interpolate(values, base, neighbor, gap, expected)
    kernel = build(kernels.source("interpolate_rows.cu"))[f"interpolate_rows_{np.dtype(dtype).name}"]
    arrays = [a.ctypes.data for a in (values, base, neighbor, gap)]
    kernel.launch((3,), (32,), [*arrays, m, d, out.ctypes.data])
    assert out.tobytes() == expected.tobytes()
    at(to * item, (m, d), dtype, before)[...] = expected
    assert guarded.tobytes() == before.tobytes()  # nothing was written beside the rows


def counted(dtype: str) -> str:
    """The kernel's source with a count of the 16-byte cells that it makes."""
    source = kernels.source("interpolate_rows.cu")
    opening = "    Pack<T> made;\n"
    assert source.count(opening) == 1
    name = f"interpolate_rows_{dtype}"
    cells = 'static long long made_cells;\nextern "C" __global__ void cells(long long* n) { *n = made_cells; }\n'
    return cells + source.replace(opening, opening + "    ++made_cells;\n") + f"// {name}\n"


@pytest.mark.parametrize(
    ("dtype", "d", "offset", "wide"),
    [
        ("float32", 8, 0, True),
        ("float32", 8, 1, False),
        ("float32", 6, 0, False),
        ("float64", 6, 0, True),
        ("float64", 6, 1, False),
        ("float64", 7, 0, False),
    ],
)
def test_which_accesses_are_taken(dtype, d, offset, wide):
    """Both ways give the same bits, so only a count can tell that the wide one is taken."""
    item, m = np.dtype(dtype).itemsize, 5
    values = at(offset * item, (4, d), dtype, np.ones(4 * d * item + 64, np.uint8))
    out = at(0, (m, d), dtype, np.zeros(m * d * item + 64, np.uint8))
    base, gap, cells = np.zeros(m, np.int64), np.zeros(m), np.zeros(1, np.int64)
    built = build(counted(dtype))
    built["cells"].launch((1,), (1,), [cells.ctypes.data])
    before = int(cells[0])
    arrays = [a.ctypes.data for a in (values, base, base, gap)]
    built[f"interpolate_rows_{dtype}"].launch((1,), (32,), [*arrays, m, d, out.ctypes.data])
    built["cells"].launch((1,), (1,), [cells.ctypes.data])
    assert int(cells[0]) - before == (m * d * item // 16 if wide else 0)


# One thread of a grid far larger than could be visited here: the shim's geometry is a variable like any other.
ONE_THREAD = """
extern "C" __global__ void one_thread_of_{name}({parameters}, long long blocks, long long block, long long thread) {{
    gridDim = {{static_cast<unsigned>(blocks), 1, 1}};
    blockDim = {{256, 1, 1}};
    blockIdx = {{static_cast<unsigned>(block), 0, 0}};
    threadIdx = {{static_cast<unsigned>(thread), 0, 0}};
    {name}({arguments});
    gridDim = blockDim = {{1, 1, 1}};
    blockIdx = threadIdx = {{0, 0, 0}};
}}
"""


def one_thread(file: str, name: str):
    source = kernels.source(file)
    start = source.index("(", source.index(f"{name}(")) + 1
    parameters = source[start : source.index(")", start)].replace("\n", " ")
    arguments = ", ".join(parameter.replace("*", " ").split()[-1] for parameter in parameters.split(","))
    text = ONE_THREAD.format(name=name, parameters=parameters, arguments=arguments)
    return build(source + text)[f"one_thread_of_{name}"]


def sparse(count: int, dtype: type) -> np.ndarray:
    """Zeros of which only the pages that are written take memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    try:
        mapping = mmap.mmap(-1, count * np.dtype(dtype).itemsize, flags=flags)
    except (OSError, ValueError) as error:
        pytest.skip(f"this system maps no {count:,} values without memory for them: {error}")
    return np.frombuffer(mapping, dtype, count)


@pytest.mark.parametrize("columns", [4, 3])
def test_interpolation_beyond_32_bits(columns):
    """The table and the output hold more than 2**31 values each; rows and cells at both ends are right."""
    rows = 2**31 // columns + 1000
    values, out = (sparse(rows * columns, np.float32).reshape(rows, columns) for _ in range(2))
    base, neighbor = (sparse(rows, np.int64) for _ in range(2))
    gap = sparse(rows, np.float64)
    last = rows - 1
    values[0], values[last], values[last - 1] = 1.0, 7.0, 3.0
    base[last], neighbor[last], gap[last] = last - 1, last, 0.25
    base[3], neighbor[3], gap[3] = last, 0, 0.5
    kernel = one_thread("interpolate_rows.cu", "interpolate_rows_float32")
    arrays = [a.ctypes.data for a in (values, base, neighbor, gap)]
    cells = 1 if columns == 4 else 3  # of a row
    blocks = 2**31 // 256 // 2  # a stride of 2**30: a thread visits few cells
    for row in (3, last):
        for cell in range(cells):
            block, thread = divmod((row * cells + cell) % (blocks * 256), 256)
            kernel.launch((1,), (1,), [*arrays, rows, columns, out.ctypes.data, blocks, block, thread])
    assert out[3].tolist() == [4.0] * columns
    assert out[last].tolist() == [4.0] * columns
    assert out[last - 1].tolist() == out[4].tolist() == [0.0] * columns


def test_distances_beyond_32_bits():
    columns = 33
    rows = 2**31 // columns + 1000
    values = sparse(rows * columns, np.float32).reshape(rows, columns)
    values[rows - 1], values[rows - 2] = 2.0, 1.0
    queries, candidates = np.array([rows - 1]), np.array([[0, rows - 2, rows - 1]])
    distance = np.empty((1, 3))
    kernel = build(kernels.source("rerank_distances.cu"))["rerank_distances_float32"]
    arrays = [a.ctypes.data for a in (values, queries, candidates)]
    kernel.launch((1,), (32, 4), [*arrays, 1, 3, columns, distance.ctypes.data])
    assert distance.tolist() == [[4.0 * columns, columns, 0.0]]


def test_counts_beyond_32_bits():
    width = 5
    rows = 2**31 // width + 1000
    codes, neighbors = np.array([0, 1]), sparse(rows * width, np.int64).reshape(rows, width)
    count = sparse(rows, np.int64)
    neighbors[rows - 1, :3] = 1
    kernel = one_thread("count_foreign.cu", "count_foreign")
    blocks = 2**31 // 256 // 8
    block, thread = divmod((rows - 1) % (blocks * 256), 256)
    arrays = [a.ctypes.data for a in (codes, neighbors)]
    kernel.launch((1,), (1,), [*arrays, 0, rows, width, count.ctypes.data, blocks, block, thread])
    assert count[-1] == 3
    assert count[:10].sum() == 0
