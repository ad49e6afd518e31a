"""R's package smotefamily in Python: the functions of :mod:`gpusmote.smotefamily` under a short name."""

from __future__ import annotations

from gpusmote import smotefamily
from gpusmote.smotefamily import ADAS, BLSMOTE, SMOTE, Result

__all__ = ["ADAS", "BLSMOTE", "SMOTE", "Result"]

__doc__ = smotefamily.__doc__
