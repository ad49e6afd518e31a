"""One file a sampler: which rows are seeds, among which rows their neighbours are sought, how far rows may lie."""

from __future__ import annotations

from gpusmote.samplers.adasyn import ADASYN
from gpusmote.samplers.borderline import BorderlineSMOTE
from gpusmote.samplers.smote import SMOTE

__all__ = ["ADASYN", "SMOTE", "BorderlineSMOTE"]
