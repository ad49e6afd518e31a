"""R's package smotefamily in Python; a short name for :mod:`gpusmote.smotefamily`."""

from __future__ import annotations

from gpusmote import smotefamily
from gpusmote.smotefamily import ADAS, BLSMOTE, SMOTE, Result

__all__ = ["ADAS", "BLSMOTE", "SMOTE", "Result"]

__doc__ = smotefamily.__doc__
