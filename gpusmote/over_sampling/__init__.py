"""Over-sampling methods, one module each: which rows are seeds, which pool holds their neighbors, the range of gaps."""

from __future__ import annotations

from gpusmote.over_sampling.adasyn import ADASYN
from gpusmote.over_sampling.borderline import BorderlineSMOTE
from gpusmote.over_sampling.smote import SMOTE

__all__ = ["ADASYN", "SMOTE", "BorderlineSMOTE"]
