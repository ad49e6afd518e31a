"""One file a sampler: which rows are seeds, among which rows their neighbors are sought, how far rows may lie."""

from __future__ import annotations

from gpusmote.over_sampling.adasyn import ADASYN
from gpusmote.over_sampling.borderline import BorderlineSMOTE
from gpusmote.over_sampling.smote import SMOTE

__all__ = ["ADASYN", "SMOTE", "BorderlineSMOTE"]
