"""Every kernel once at awkward sizes, on exact allocations: what compute-sanitizer watches."""

from __future__ import annotations

import sys

import numpy as np

__all__ = ["main"]


def main(given: list[str]) -> None:
    """Run them; ``--stand-in`` does so without a device."""
    if "--stand-in" in given:
        import pytest

        from tests.standin.install import stand_in

        stand_in(pytest.MonkeyPatch())()
    import cupy

    from gpusmote import draws
    from gpusmote.backends.cuda import CudaBackend

    if "--stand-in" not in given:
        cupy.cuda.set_allocator(None)  # a pool would hide what lies beyond an array
    backend, rng, key = CudaBackend(0), np.random.default_rng(0), draws.class_key((1,), 1)
    for dtype in (np.float32, np.float64):
        for d in (1, 3, 4, 8, 33, 100):
            for m in (1, 31, 257):
                values = backend.asarray(rng.normal(size=(50, d)).astype(dtype))
                rows, others = (backend.asarray(rng.integers(0, 50, m)) for _ in range(2))
                out = cupy.empty((m, d), dtype)
                backend.interpolate(values, rows, others, backend.asarray(rng.random(m)), out)
                for width in (1, 32, 45):
                    backend.rerank(values, rows, backend.asarray(rng.integers(0, 50, (m, width))))
        print(f"kernel ran: interpolate_rows_{np.dtype(dtype).name}, rerank_distances_{np.dtype(dtype).name}")
    backend.to_float64(backend.asarray(rng.normal(size=(257, 3)).astype(np.float32)))
    for start, stop in ((0, 1), (1, 600), (7, 8), (5, 1030)):
        backend.draw(key, start, stop, 9)
    backend.draw_at(key, backend.asarray(rng.integers(0, 2**40, 333)), 9)
    codes, neighbours = backend.asarray(rng.integers(0, 3, 40)), backend.asarray(rng.integers(0, 40, (333, 5)))
    backend.count_foreign(codes, neighbours, 1)
    backend.synchronize()
    print("kernel ran: float32_to_float64, draw_slice, draw_gathered, count_foreign")


if __name__ == "__main__":
    main(sys.argv[1:])
