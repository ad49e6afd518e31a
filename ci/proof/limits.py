"""What this device can do at most: the figures that stand beside the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from proof import tables
from proof.run import Run

__all__ = ["copy_bandwidth", "limits", "product_rate"]


def limits(run: Run) -> None:
    """Memory, arithmetic, and the way between host and device."""
    run.result(limit="copy within the device, bytes read + written", value=copy_bandwidth(run) / 1e9, unit="GB/s")
    run.result(limit="float32 matrix product", value=product_rate(run) / 1e12, unit="TFLOP/s")
    size = run.size(256 << 20, 1 << 16)
    pageable = np.frombuffer(run.rng.bytes(size), np.uint8).copy()
    pinned = _pinned(run, size)
    pinned[:] = pageable
    device = run.xp.empty(size, np.uint8)
    for name, host in (("pinned", pinned), ("pageable", pageable)):
        up = run.clock.wall(lambda host=host: device.set(host)).median
        down = run.clock.wall(lambda host=host: device.get(out=host)).median
        run.result(limit=f"host to device, {name}", value=size / up / 1e9, unit="GB/s")
        run.result(limit=f"device to host, {name}", value=size / down / 1e9, unit="GB/s")
        run.check(f"what came back to {name} memory is what went up", bool((host == pageable).all()))


def copy_bandwidth(run: Run) -> float:
    """Bytes read and written a second by the device's own copy, between buffers far larger than its cache."""
    source = tables.on_device(run, run.size(1 << 22, 1 << 8), 64, np.float32)  # 1 GiB
    target = run.xp.empty_like(source)
    seconds = run.clock.device(lambda: run.xp.copyto(target, source)).median
    run.check("the copy that was timed is right", bool((target[::997] == source[::997]).all()))
    return 2 * source.nbytes / seconds


def product_rate(run: Run) -> float:
    """Floating-point operations a second of a square product in float32."""
    n = run.size(8192, 64)
    a, b = (run.xp.asarray(tables.rows(run.rng, n, n)) for _ in range(2))
    c = run.xp.empty((n, n), np.float32)
    seconds = run.clock.device(lambda: run.xp.matmul(a, b, out=c)).median
    expected = a[:8].get().astype("f8") @ b.get().astype("f8")
    error = float(np.abs(c[:8].get() - expected).max() / np.abs(expected).max())
    run.check("float32 products are float32 products (relative error below 1e-4)", error < 1e-4, f"{error:.1e}")
    return 2 * n**3 / seconds


def _pinned(run: Run, size: int) -> Any:
    memory = run.xp.cuda.alloc_pinned_memory(size)
    return np.frombuffer(memory, np.uint8, size)
