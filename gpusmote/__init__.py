"""SMOTE and its variants on CUDA GPUs, and the same rows on the CPU."""

from __future__ import annotations

from gpusmote import r
from gpusmote.backends.info import info
from gpusmote.config import config_context, get_config, set_config
from gpusmote.files import resample_file
from gpusmote.module import oversample
from gpusmote.plan import Plan
from gpusmote.samplers import SMOTE, BorderlineSMOTE

__version__ = "0.1.0"

__all__ = [
    "SMOTE",
    "BorderlineSMOTE",
    "Plan",
    "config_context",
    "get_config",
    "info",
    "oversample",
    "r",
    "resample_file",
    "set_config",
]
