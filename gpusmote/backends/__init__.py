"""Devices: which one does the work, and the operations that it offers."""

from __future__ import annotations

from gpusmote.backends.base import Array, Backend
from gpusmote.backends.select import select

__all__ = ["Array", "Backend", "select"]
