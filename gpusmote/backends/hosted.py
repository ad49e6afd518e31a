"""A backend for rows that do not fit on the device: they stay on the host, and searches copy them in blocks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from gpusmote.backends.cpu import Backend

__all__ = ["HostedBackend"]


class HostedBackend(Backend):
    """Arrays and operations on the host, but neighbor searches on a device that holds a part of the rows at a time.

    Synthetic rows are made on the host. Each needs two rows, so copying these to the device and the result back would
    take longer.

    Parameters
    ----------
    device : Backend
        A CUDA device. Its ``memory.pool_rows`` is the number of rows that it holds at a time.
    """

    def __init__(self, device: Backend) -> None:
        self._device = self.search_device = device
        self.packages = device.packages

    def active(self) -> AbstractContextManager[Any]:
        return self._device.active()
