"""Choose the device of a call, and the operations that each device provides."""

from __future__ import annotations

from gpusmote.backends.cpu import Array, Backend
from gpusmote.backends.device import select

__all__ = ["Array", "Backend", "select"]
