"""Rows that a device has no room for: they stay on the host, and searches send them through the device in blocks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from gpusmote.backends.cpu import Backend

__all__ = ["HostedBackend"]


class HostedBackend(Backend):
    """Arrays and operations of the host; neighbors are sought by a device that holds a part of the rows at a time.

    Synthetic rows are made on the host: each takes two rows to make one, so that to send those to a device and fetch
    this one would take longer.

    Parameters
    ----------
    device : Backend
        A CUDA device whose cut says how many rows it holds.
    """

    def __init__(self, device: Backend) -> None:
        self._device = self.search_device = device
        self.packages = device.packages

    def active(self) -> AbstractContextManager[Any]:
        return self._device.active()
