"""Devices: which one does the work, and the operations that it offers."""

from __future__ import annotations

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.device import select

__all__ = ["Array", "Backend", "select"]
